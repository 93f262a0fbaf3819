"""TensorFlow."""

import contextlib

import tensorflow as tf
from keras.src import activations
from keras.src import backend as keras_backend
from keras.src.backend.common.stateless_scope import in_stateless_scope

from awd_keras.backend import generic
from awd_keras.backend.add_bias import add_bias
from awd_keras.backend.differentiable_sums import differentiable_sums
from awd_keras.backend.mask_bits import mask_bits
from awd_keras.backend.second_run import second_run
from awd_keras.backend.sum_dtype import sum_dtype
from awd_keras.backend.tensorflow_products import widened
from awd_keras.backend.tensorflow_transforms import called_by


def lstm(
    sequences,
    initial_state,
    kernel,
    recurrent_kernel,
    bias,
    *,
    activation,
    recurrent_activation,
    mask=None,
    recurrent_mask=None,
    go_backwards=False,
    unroll=False,
    zero_output_for_mask=False,
):
    """As `generic.lstm`: cuDNN on a GPU, else a loop with a gradient of its own."""
    if (
        activation is activations.tanh
        and recurrent_activation is activations.sigmoid
        and mask is None
        and recurrent_mask is None
        and not unroll
    ):
        if go_backwards:
            sequences = tf.reverse(sequences, axis=[1])
        on_gpu = not lstm_supports_jit()
        if not on_gpu or bias is None:
            # A row a token: of three axes, the kernel's gradient would be a product for each time step, and a sum.
            time, batch_size = tf.shape(sequences)[1], tf.shape(sequences)[0]
            rows = tf.reshape(tf.transpose(sequences, [1, 0, 2]), (-1, sequences.shape[-1]))
            projections = product(rows, kernel) if bias is None else affine(rows, kernel, bias)
            projections = tf.reshape(projections, (time, batch_size, kernel.shape[-1]))
            projections = tf.ensure_shape(projections, (sequences.shape[1], sequences.shape[0], kernel.shape[-1]))
            # A tensor, as a function with its own gradient takes no variables.
            recurrent_kernel = tf.identity(recurrent_kernel)
            outputs, h, c = _recurrence(projections, *initial_state, recurrent_kernel)
            return tf.transpose(outputs, [1, 0, 2]), [h, c], "fused"
        _, outputs, state = keras_backend.lstm(
            sequences,
            *initial_state,
            None,
            kernel,
            recurrent_kernel,
            bias,
            activation,
            recurrent_activation,
            return_sequences=True,
        )
        return outputs, state, "cudnn"
    return generic.lstm(
        sequences,
        initial_state,
        kernel,
        recurrent_kernel,
        bias,
        activation=activation,
        recurrent_activation=recurrent_activation,
        mask=mask,
        recurrent_mask=recurrent_mask,
        go_backwards=go_backwards,
        unroll=unroll,
        zero_output_for_mask=zero_output_for_mask,
    )


@tf.custom_gradient
def _recurrence(projections, h, c, recurrent_kernel):
    """The loop over time. TensorFlow's own gradient of it would make one product for the recurrent kernel a step.

    Args:
        projections: (time, batch, 4 * units), the inputs times the input kernel, plus the bias.
        h: (batch, units).
        c: (batch, units).
        recurrent_kernel: (units, 4 * units).

    Returns:
        Outputs (time, batch, units), the final h, and the final c; and the function of their gradients.
    """
    time = tf.shape(projections)[0]
    static_time, batch_size, width = projections.shape

    def series():
        return tf.TensorArray(projections.dtype, size=time)

    def whole(array, size):
        return tf.ensure_shape(array.stack(), (static_time, batch_size, size))

    def step(t, h, c, hs, cs, gates):
        z = inputs.read(t) + product(h, wide_kernel)
        i, f, content, o = tf.split(z, 4, axis=-1)
        i, f, content, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(content), tf.sigmoid(o)
        c = f * c + i * content
        h = o * tf.tanh(c)
        gate = tf.concat([i, f, content, o], axis=-1)
        return t + 1, h, c, hs.write(t, h), cs.write(t, c), gates.write(t, gate)

    # Here, and not in every time step.
    wide_kernel = widened(recurrent_kernel)
    inputs = series().unstack(projections)
    _, last_h, last_c, *arrays = tf.while_loop(
        lambda t, *_: t < time, step, (0, h, c, series(), series(), series()), maximum_iterations=time
    )
    hs, cs, gates = (whole(array, size) for array, size in zip(arrays, (width // 4, width // 4, width), strict=True))

    def backward(d_hs, d_h, d_c):
        earlier_hs = tf.concat([h[None], hs[:-1]], axis=0)
        earlier_cs = tf.concat([c[None], cs[:-1]], axis=0)
        values = [series().unstack(x) for x in (d_hs, gates, cs, earlier_cs)]
        # Here, as the product would transpose it in every time step, and take twice as long.
        transposed_kernel = tf.transpose(wide_kernel)

        def step(t, d_h, d_c, d_zs):
            d_output, gate, c, earlier_c = (array.read(t) for array in values)
            i, f, content, o = tf.split(gate, 4, axis=-1)
            tanh_c = tf.tanh(c)
            d_h += d_output
            d_c += d_h * o * (1 - tanh_c**2)
            d_z = tf.concat(
                [
                    d_c * content * i * (1 - i),
                    d_c * earlier_c * f * (1 - f),
                    d_c * i * (1 - content**2),
                    d_h * tanh_c * o * (1 - o),
                ],
                axis=-1,
            )
            earlier_d_h = product(d_z, transposed_kernel)
            return t - 1, earlier_d_h, d_c * f, d_zs.write(t, d_z)

        _, d_h, d_c, d_zs = tf.while_loop(
            lambda t, *_: t >= 0, step, (time - 1, d_h, d_c, series()), maximum_iterations=time
        )
        d_z = whole(d_zs, width)
        d_recurrent_kernel = tf.matmul(
            widened(tf.reshape(earlier_hs, (-1, width // 4))),
            widened(tf.reshape(d_z, (-1, width))),
            transpose_a=True,
        )
        return d_z, d_h, d_c, tf.cast(d_recurrent_kernel, recurrent_kernel.dtype)

    return (hs, last_h, last_c), backward


def weighted_sums(forget, addends, initial):
    """As `generic.weighted_sums`."""
    return differentiable_sums(forget, addends, initial)


@tf.custom_gradient
def cross_entropy(ids, rows):
    """As `generic.cross_entropy`: TensorFlow's own takes the gradient along, whether or not it's asked for."""

    def backward(d_losses):
        d_rows = tf.nn.softmax(rows) * d_losses[:, None]
        indices = tf.stack([tf.range(tf.size(ids)), ids], axis=1)
        return None, tf.tensor_scatter_nd_sub(d_rows, indices, d_losses)

    return tf.reduce_logsumexp(rows, axis=-1) - tf.gather(rows, ids, axis=1, batch_dims=1), backward


def keep_losses(targets, logits, losses):
    """As `generic.keep_losses`."""
    logits._awd_keras_losses = targets, tf.stop_gradient(losses)


def kept_losses(targets, logits):
    """As `generic.kept_losses`."""
    of_targets, losses = getattr(logits, "_awd_keras_losses", (None, None))
    return losses if of_targets is targets else None


def product(rows, kernel):
    """As `generic.product`."""
    return tf.cast(tf.matmul(widened(rows), widened(kernel)), rows.dtype)


def affine(rows, kernel, bias):
    """As `generic.affine`: Keras adds a bias by `tf.nn.bias_add`, whose gradient needs no look at the shapes."""
    return add_bias(product(rows, kernel), bias)


def keep_by_columns(variable):
    """As `generic.keep_by_columns`: all of TensorFlow's arrays lie row by row."""


def exporting(variables):
    """As `generic.exporting`."""
    return contextlib.nullcontext()


def device_name() -> str:
    """As `generic.device_name`."""
    gpus = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else "cpu"


def lstm_supports_jit() -> bool:
    """XLA can't compile TensorFlow's cuDNN LSTM, which is what runs on a GPU."""
    return not tf.config.list_physical_devices("GPU")


def map_flat(function, tensor):
    """As `generic.map_flat`."""
    return tf.ragged.map_flat_values(function, tensor)


def keep_mask(shape, rate, seed):
    """As `generic.keep_mask`, from as few random bits as `mask_bits` says."""
    bits, threshold = mask_bits(rate)
    seed = tf.cast(seed, "int32")
    count, parts = tf.reduce_prod(tf.convert_to_tensor(shape, "int32")), 32 // bits
    words = tf.random.stateless_uniform([(count + parts - 1) // parts], seed, None, None, dtype="int32")
    values = tf.reshape(tf.reshape(tf.bitcast(words, f"int{bits}"), [-1])[:count], shape)
    return values >= threshold - 2 ** (bits - 1)


def locked_dropout(inputs, rate, seed):
    """As `generic.locked_dropout`."""
    return generic.locked_dropout(inputs, rate, seed)


def untransformed():
    """As `generic.untransformed`."""
    return generic.untransformed()


def can_assign(values):
    """As `generic.can_assign`: a loop over examples that are taken all at once would assign any one's."""
    return not called_by("_pfor_impl")


def rematerialize(function, tensors):
    """As `generic.rematerialize`; TensorFlow's function takes nothing but what has gradients."""
    first = []

    @tf.recompute_grad
    def run(*tensors):
        results, rest = function(*tensors)
        first.append(rest)
        return results

    return run(*tensors), first[0]


def check_first_run(name):
    """As `generic.check_first_run`."""
    if not in_stateless_scope() and called_by("inner_recompute_grad"):
        raise second_run(name)


def drop(values, keep, rate):
    """As `generic.drop`."""
    return generic.drop(values, keep, rate)


def global_norm(gradients):
    """As `generic.global_norm`."""
    dtype = sum_dtype(*(g.dtype for g in gradients))
    return tf.sqrt(2 * tf.add_n([tf.nn.l2_loss(tf.cast(g, dtype)) for g in gradients]))


def descend(variables, gradients, learning_rate, scale, decays, finite):
    """As `generic.descend`, by TensorFlow's own kernel of a step, which needs no array between."""

    def step():
        for variable, gradient, decay in zip(variables, gradients, decays, strict=True):
            w = variable.value
            rate, factor = (tf.cast(x, w.dtype) for x in (learning_rate, scale))
            if decay:
                tf.raw_ops.ResourceApplyGradientDescent(var=w.handle, alpha=rate * decay, delta=w)
            tf.raw_ops.ResourceApplyGradientDescent(var=w.handle, alpha=rate * factor, delta=gradient)

    tf.cond(finite, step, lambda: None)


def average(averages, variables, share):
    """As `generic.average`."""

    def move():
        for mean, variable in zip(averages, variables, strict=True):
            mean = mean.value
            difference = mean - tf.cast(variable.value, mean.dtype)
            tf.raw_ops.ResourceApplyGradientDescent(var=mean.handle, alpha=tf.cast(share, mean.dtype), delta=difference)

    tf.cond(share > 0, move, lambda: None)


def jit_compile():
    """As `generic.jit_compile`: XLA would make a program for every length, and run the backward loop slower."""
    return False


def compiles_each_length(jit_compile):
    """As `generic.compiles_each_length`: XLA does, and a graph serves all lengths."""
    return bool(jit_compile)

"""Loops over time on TensorFlow: cuDNN on a GPU, else a loop with a hand-written gradient."""

import tensorflow as tf

from awd_keras.backend import keras_private
from awd_keras.backend.recurrence import generic
from awd_keras.backend.tensorflow import affine, product, widened


def fast_lstm(sequences, state, kernel, recurrent_kernel, bias):
    """Uses cuDNN if there are biases, as it needs them."""
    h, c = state
    if not lstm_supports_jit() and bias is not None:
        return *keras_private.lstm(sequences, h, c, kernel, recurrent_kernel, bias), "cudnn"
    # As a matrix of one row for each token. With three axes, the kernel's gradient would be one product for each time
    # step, and their sum.
    time, batch_size = tf.shape(sequences)[1], tf.shape(sequences)[0]
    rows = tf.reshape(tf.transpose(sequences, [1, 0, 2]), (-1, sequences.shape[-1]))
    projections = product(rows, kernel) if bias is None else affine(rows, kernel, bias)
    projections = tf.reshape(projections, (time, batch_size, kernel.shape[-1]))
    projections = tf.ensure_shape(projections, (sequences.shape[1], sequences.shape[0], kernel.shape[-1]))
    # As a tensor, because a function with a custom gradient takes no variables.
    outputs, h, c = _recurrence(projections, h, c, tf.identity(recurrent_kernel))
    return tf.transpose(outputs, [1, 0, 2]), [h, c], "fused"


@tf.custom_gradient
def _recurrence(projections, h, c, recurrent_kernel):
    """The loop over time. TensorFlow's own gradient would compute one product for the recurrent kernel in every step.

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

    # Cast here once, not in every time step.
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
        # Transposed here once. The product would transpose in every time step, and take twice as long.
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
    """Has a hand-written gradient."""
    return generic.differentiable_sums(forget, addends, initial)


def lstm_supports_jit() -> bool:
    """XLA can't compile TensorFlow's cuDNN LSTM, which runs on a GPU."""
    return not tf.config.list_physical_devices("GPU")

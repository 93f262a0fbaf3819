"""Overrides for TensorFlow."""

import sys
import types

import tensorflow as tf

from awd_keras.backend.generic import mask_bits
from awd_keras.backend.keras_private import in_stateless_scope
from awd_keras.backend.precision import add_bias, sum_dtype


@tf.custom_gradient
def cross_entropy(ids, rows):
    """TensorFlow's own operation always computes the gradient too, even if none is needed."""

    def backward(d_losses):
        d_rows = tf.nn.softmax(rows) * d_losses[:, None]
        indices = tf.stack([tf.range(tf.size(ids)), ids], axis=1)
        return None, tf.tensor_scatter_nd_sub(d_rows, indices, d_losses)

    return tf.reduce_logsumexp(rows, axis=-1) - tf.gather(rows, ids, axis=1, batch_dims=1), backward


def linear_cross_entropy(ids, weights, rows, table, bias, chunk, count=None):
    dtype = sum_dtype(rows.dtype)
    count = tf.shape(rows)[0] if count is None else count

    @tf.custom_gradient
    def by_parts(weights, rows, table, bias):
        parts = tf.maximum((count + chunk - 1) // chunk, 1)

        def series():
            return tf.TensorArray(dtype, size=parts, infer_shape=False)

        def step(part, losses, d_rows, d_table, d_bias):
            taken = slice(part * chunk, tf.minimum((part + 1) * chunk, count))
            h, targets, weight = rows[taken], ids[taken], weights[taken, None]
            log_p = tf.nn.log_softmax(tf.cast(affine(h, table_by_columns, bias), dtype))
            losses = losses.write(part, -tf.gather(log_p, targets, axis=1, batch_dims=1))
            indices = tf.stack([tf.range(tf.size(targets)), targets], axis=1)
            d_logits = tf.tensor_scatter_nd_sub(tf.exp(log_p) * weight, indices, weight[:, 0])
            d_bias += tf.reduce_sum(d_logits, axis=0)
            d_logits = tf.cast(d_logits, rows.dtype)
            d_rows = d_rows.write(part, tf.cast(tf.matmul(widened(d_logits), wide_table), dtype))
            d_table += tf.cast(tf.matmul(widened(d_logits), widened(h), transpose_a=True), dtype)
            return part + 1, losses, d_rows, d_table, d_bias

        wide_table = widened(table)
        table_by_columns = tf.transpose(wide_table)
        zeros = (tf.zeros(x.shape, dtype) for x in (table, bias))
        _, losses, d_rows, *gradients = tf.while_loop(
            lambda part, *_: part < parts, step, (0, series(), series(), *zeros), parallel_iterations=1
        )
        rest = tf.shape(rows)[0] - count
        losses = tf.pad(losses.concat(), [[0, rest]])
        losses = tf.ensure_shape(losses, weights.shape)
        d_rows = tf.ensure_shape(tf.pad(d_rows.concat(), [[0, rest], [0, 0]]), rows.shape)

        def backward(d_total, _):
            arguments = (weights, rows, table, bias)
            return [tf.cast(d_total * d, x.dtype) for d, x in zip((losses, d_rows, *gradients), arguments, strict=True)]

        return (tf.tensordot(weights, losses, 1), losses), backward

    # As tensors, because a function with a custom gradient takes no variables.
    total, losses = by_parts(tf.cast(weights, dtype), rows, tf.identity(table), tf.identity(bias))
    return total, tf.stop_gradient(losses)


def keep_losses(targets, logits, losses):
    logits._awd_keras_losses = targets, tf.stop_gradient(losses)


def kept_losses(targets, logits):
    of_targets, losses = getattr(logits, "_awd_keras_losses", (None, None))
    return losses if of_targets is targets else None


def widened(operand):
    """Casts half precision to float32 for products on a CPU.

    On a processor that can't multiply bfloat16, TensorFlow cuts off digits instead of rounding them. Each product is
    then up to 1% too small, and a gradient through many time steps becomes smaller and smaller.
    """
    half = operand.dtype in (tf.bfloat16, tf.float16)
    return tf.cast(operand, tf.float32) if half and not tf.config.list_physical_devices("GPU") else operand


def product(rows, kernel):
    return tf.cast(tf.matmul(widened(rows), widened(kernel)), rows.dtype)


def affine(rows, kernel, bias):
    """Adds the bias as Keras does, by `tf.nn.bias_add`, whose gradient doesn't depend on the shapes."""
    return add_bias(product(rows, kernel), bias)


def device_name() -> str:
    gpus = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else "cpu"


def map_flat(function, tensor):
    return tf.ragged.map_flat_values(function, tensor)


def keep_mask(shape, rate, seed):
    """Draws only as many random bits as `mask_bits` returns."""
    bits, threshold = mask_bits(rate)
    seed = tf.cast(seed, "int32")
    count, parts = tf.reduce_prod(tf.convert_to_tensor(shape, "int32")), 32 // bits
    words = tf.random.stateless_uniform([(count + parts - 1) // parts], seed, None, None, dtype="int32")
    values = tf.reshape(tf.reshape(tf.bitcast(words, f"int{bits}"), [-1])[:count], shape)
    return values >= threshold - 2 ** (bits - 1)


def can_assign(values):
    """Under `vectorized_map`, an assignment would keep the value of an arbitrary example."""
    return not _called_by("_pfor_impl")


def rematerialize(function, tensors):
    """TensorFlow's `recompute_grad` may only return tensors that have gradients."""
    first = []

    @tf.recompute_grad
    def run(*tensors):
        results, rest = function(*tensors)
        first.append(rest)
        return results

    return run(*tensors), first[0]


def runs_again():
    return not in_stateless_scope() and _called_by("inner_recompute_grad")


def global_norm(gradients):
    dtype = sum_dtype(*(g.dtype for g in gradients))
    return tf.sqrt(2 * tf.add_n([tf.nn.l2_loss(tf.cast(g, dtype)) for g in gradients]))


def descend(variables, gradients, learning_rate, scale, decays, finite):
    """Uses TensorFlow's own kernel for a step, which needs no temporary array."""

    def step():
        for variable, gradient, decay in zip(variables, gradients, decays, strict=True):
            w = variable.value
            rate, factor = (tf.cast(x, w.dtype) for x in (learning_rate, scale))
            if decay:
                tf.raw_ops.ResourceApplyGradientDescent(var=w.handle, alpha=rate * decay, delta=w)
            tf.raw_ops.ResourceApplyGradientDescent(var=w.handle, alpha=rate * factor, delta=gradient)

    tf.cond(finite, step, lambda: None)


def average(averages, variables, share):

    def move():
        for mean, variable in zip(averages, variables, strict=True):
            mean = mean.value
            difference = mean - tf.cast(variable.value, mean.dtype)
            tf.raw_ops.ResourceApplyGradientDescent(var=mean.handle, alpha=tf.cast(share, mean.dtype), delta=difference)

    tf.cond(share > 0, move, lambda: None)


def shrink_steps(variables, starts, multipliers):
    """Each device assigns to its own copy. Keras's `assign` would synchronize the copies."""
    for variable, start, multiplier in zip(variables, starts, multipliers, strict=True):
        w = variable.value
        shrunk = w - tf.cast(1.0 - multiplier, w.dtype) * (w - start)
        tf.raw_ops.AssignVariableOp(resource=w.handle, value=tf.where(multiplier == 0, start, shrunk))


def jit_compile():
    """False: XLA would compile a program for every length, and run the backward loop slower."""
    return False


def compiles_each_length(jit_compile):
    """XLA compiles each length. Without it, one graph serves all lengths."""
    return bool(jit_compile)


def _called_by(name):
    """Whether TensorFlow's function of this name is on the call stack, as TensorFlow can't be asked what is running."""
    frame: types.FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == name and frame.f_globals["__name__"].startswith("tensorflow."):
            return True
        frame = frame.f_back
    return False

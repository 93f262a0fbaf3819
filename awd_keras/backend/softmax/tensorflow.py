"""TensorFlow."""

import tensorflow as tf

from awd_keras.backend.precision import sum_dtype
from awd_keras.backend.tensorflow import affine
from awd_keras.backend.tensorflow_products import widened


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

    # Tensors, as a function with its own gradient takes no variables.
    total, losses = by_parts(tf.cast(weights, dtype), rows, tf.identity(table), tf.identity(bias))
    return total, tf.stop_gradient(losses)

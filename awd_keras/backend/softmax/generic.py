"""Written with `keras.ops` alone: right on every framework, tuned for none."""

from keras import ops

from awd_keras.backend.generic import affine, cross_entropy
from awd_keras.backend.precision import sum_dtype


def linear_cross_entropy(ids, weights, rows, table, bias, chunk, count=None):
    """The cross-entropy of each token under the logits `rows @ transpose(table) + bias`, which are never there at once.

    They are made of a few rows at a time. Where gradients are asked for, these are taken at once too, of
    `sum(weights * losses)`, so that no logits need be kept or made again: the product of that sum's own gradient with
    what has been taken is all that is left for later. The softmax is taken in float32 at least, and so are the sums
    over the parts.

    Args:
        ids: int32 (tokens,).
        weights: (tokens,), of float32 or float64.
        rows: (tokens, inputs).
        table: (vocabulary, inputs), of the same dtype.
        bias: (vocabulary,), too.
        chunk: positive integer, the most rows that are taken at a time.
        count: int32 scalar tensor, the number of the first rows that count, or None for all of them. The losses of
            others are zero, and cost nothing.

    Returns:
        The scalar `sum(weights * losses)`, and the losses (tokens,), whose gradients are zero.
    """
    dtype = sum_dtype(rows.dtype)
    size = rows.shape[0]
    parts = []
    for start in range(0, max(size, 1), chunk):
        part = slice(start, min(start + chunk, size))
        logits = ops.cast(affine(rows[part], ops.transpose(table), bias), dtype)
        parts.append(cross_entropy(ids[part], logits))
    losses = ops.concatenate(parts)
    if count is not None:
        losses = ops.where(ops.less(ops.arange(size, dtype="int32"), count), losses, 0)
    return ops.sum(ops.multiply(ops.cast(weights, dtype), losses)), ops.stop_gradient(losses)


def register_structure(cls):
    """Lets an object of this class go through the framework's transformations of functions.

    Args:
        cls: a class whose objects give all that they hold by `parts()`, a tuple of tensors, and are made again by the
            class method `from_parts(parts)`.
    """

"""Ids of padded texts (batch, time): in the order in which they are read, and cut into windows."""

from keras import ops


def in_front(ids, mask, backwards):
    """The ids in the order in which they are read, with all padding at the end; and their number (batch, 1)."""
    kept = ops.greater_equal(ids, 0)
    if mask is not None:
        kept = ops.logical_and(kept, mask)
    time = ops.shape(ids)[1]
    places = ops.arange(time, dtype="int32")
    if backwards:
        places = ops.subtract(time - 1, places)
    order = ops.argsort(ops.add(places, ops.where(kept, 0, time)), axis=1)
    ids = ops.take_along_axis(ops.maximum(ids, 0), order, axis=1)
    return ids, ops.sum(ops.cast(kept, "int32"), axis=1, keepdims=True)


def window_of(ids, lengths, first, count):
    """Each row's `count` ids from position `first` on, and which of them exist, both (batch, count)."""
    places = ops.add(ops.arange(count, dtype="int32"), ops.add(first, ops.zeros_like(lengths)))
    ids = ops.take_along_axis(ids, ops.minimum(places, ops.shape(ids)[1] - 1), axis=1)
    return ids, ops.less(places, lengths)

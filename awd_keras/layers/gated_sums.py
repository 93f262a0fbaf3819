"""Gated sums over time, in which no step waits for a matrix product."""

from keras import ops

from awd_keras import backend


def project(sequences, kernel):
    """One matrix product for all time steps. With three axes, TensorFlow's gradient takes twice as long."""
    batch_size, time, features = ops.shape(sequences)
    rows = backend.product(ops.reshape(sequences, (-1, features)), kernel)
    return ops.reshape(rows, (batch_size, time, kernel.shape[-1]))


def turned(sequences, go_backwards):
    """The sequences in the order in which the layer reads them. None stays None."""
    return sequences if sequences is None or not go_backwards else ops.flip(sequences, axis=1)


def gated_sums(forget, addends, output, initial_state, mask, zero_output_for_mask):
    """Computes c[t] = forget[t] * c[t - 1] + addends[t], and the outputs h = output(c).

    Args:
        forget: (batch, time, units), between 0 and 1.
        addends: (batch, time, units).
        output: function of c (batch, time, units), which returns h of the same shape.
        initial_state: [h, c], each (batch, units).
        mask: boolean (batch, time) or None; where it is False, the step leaves the state as it is.
        zero_output_for_mask: whether a masked step returns zeros instead of the previous output.

    Returns:
        Outputs (batch, time, units), the last h, and the last c.
    """
    if mask is not None:
        counts = _counts(mask)
        forget = ops.where(counts, forget, ops.ones_like(forget))
        addends = ops.where(counts, addends, ops.zeros_like(addends))
    c = backend.weighted_sums(forget, addends, initial_state[1])
    h = output(c)
    last = held(h, initial_state[0], mask)
    outputs = ops.where(counts, h, ops.zeros_like(h)) if mask is not None and zero_output_for_mask else last
    return outputs, last[:, -1], c[:, -1]


def held(values, before, mask):
    """At each step, the value of the latest step that isn't masked.

    Args:
        values: (batch, time, size).
        before: (batch, size), the value before the first such step.
        mask: boolean (batch, time), or None.
    """
    if mask is None:
        return values
    counts = _counts(mask)
    # A gated sum whose gates are 0 or 1: the previous value is kept, or replaced.
    kept = ops.where(counts, ops.zeros_like(values), ops.ones_like(values))
    return backend.weighted_sums(kept, ops.where(counts, values, ops.zeros_like(values)), before)


def _counts(mask):
    return ops.cast(ops.expand_dims(mask, -1), "bool")

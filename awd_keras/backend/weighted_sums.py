"""A sum that forgets, over a whole sequence, by an associative scan."""

import math

from keras import ops
from keras.src.backend import rnn

# Of a sequence whose length is known only when the program runs.
_BLOCK = 8


@ops.custom_gradient
def weighted_sums(forget, addends, initial):
    """The sums c[t] = forget[t] * c[t - 1] + addends[t], of all time steps.

    Two steps (f, a) and (g, b), one after the other, are the step (f * g, g * a + b), which is associative: the text is
    cut in blocks, whose steps are taken in all blocks at once, and then blocks are steps. Nothing is divided by.

    Not `keras.ops.associative_scan`: it makes more passes over memory (2 to 10 times slower on a CPU), on PyTorch it
    computes in float32 whatever it is given and only on the CPU, and TensorFlow writes out 48 levels of it where the
    length is unknown.

    Args:
        forget: floats (batch, time, units).
        addends: floats (batch, time, units), of the same dtype.
        initial: floats (batch, units), c[-1].

    Returns:
        Floats (batch, time, units).
    """

    def gradient(*upstream, **named):
        # PyTorch's comes by name, behind the arguments.
        d_sums = named["upstream"] if named else upstream[0]
        # What c[t] adds to all later sums: the same sum from the end.
        later = ops.concatenate([forget[:, 1:], ops.zeros_like(forget[:, :1])], axis=1)
        d_addends = weighted_sums(ops.flip(later, 1), ops.flip(d_sums, 1), ops.zeros_like(initial))
        d_addends = ops.flip(d_addends, 1)
        # Computed again: as a constant they would make second-order gradients wrong.
        sums = weighted_sums(forget, addends, initial)
        earlier = ops.concatenate([ops.expand_dims(initial, 1), sums[:, :-1]], axis=1)
        return ops.multiply(d_addends, earlier), d_addends, ops.multiply(forget[:, 0], d_addends[:, 0])

    return _scan(forget, addends, initial), gradient


def _scan(forget, addends, initial):
    length, units = forget.shape[1:]
    batch_size, time = ops.shape(forget)[:2]
    steps = _BLOCK if length is None else math.isqrt(length)
    blocks = -(-time // steps)

    def by_step(x):
        x = ops.pad(x, [[0, 0], [0, blocks * steps - time], [0, 0]])
        return ops.unstack(ops.reshape(x, (batch_size, blocks, steps, units)), steps, axis=2)

    # From each block's beginning: what is left of what was there before, and the sum of what is new.
    forget, addends = by_step(forget), by_step(addends)
    left, sums = [forget[0]], [addends[0]]
    for f, a in zip(forget[1:], addends[1:], strict=True):
        left.append(ops.multiply(f, left[-1]))
        sums.append(ops.add(ops.multiply(f, sums[-1]), a))

    def step(block, state):
        f, a = block[:, :units], block[:, units:]
        return state[0], [ops.add(ops.multiply(f, state[0]), a)]

    ends = ops.concatenate([left[-1], sums[-1]], axis=-1)
    _, before, _ = rnn(step, ends, [initial], unroll=length is not None)
    whole = [ops.add(ops.multiply(f, before), a) for f, a in zip(left, sums, strict=True)]
    return ops.reshape(ops.stack(whole, axis=2), (batch_size, blocks * steps, units))[:, :time]

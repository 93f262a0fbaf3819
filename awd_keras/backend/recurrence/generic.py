"""Loops over time written with `keras.ops` alone: right on every framework, tuned for none."""

import functools
import math

from keras import ops

from awd_keras.backend import keras_private
from awd_keras.backend.precision import add_bias


def generic_lstm(
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
    """Runs an LSTM over whole sequences: one product for all input projections, then Keras's loop.

    Args:
        sequences: (batch, time, features).
        initial_state: [h, c], each (batch, units), of the dtype of `sequences`.
        kernel: (features, 4 * units), gates in the order i, f, c, o.
        recurrent_kernel: (units, 4 * units), already masked.
        bias: (4 * units,) or None.
        activation: function of the cell's content and output, `tanh` in the paper.
        recurrent_activation: function of the gates, `sigmoid` in the paper.
        mask: boolean (batch, time) or None; a step that is False leaves the state alone.
        recurrent_mask: (batch, units) or None; multiplies h before each recurrent product.
        go_backwards: whether time runs from the last step to the first (outputs in that order).
        unroll: whether to write the loop out.
        zero_output_for_mask: whether the output of a masked step is zeros instead of the last output.

    Returns:
        Outputs (batch, time, units), the final [h, c], and the name of what ran.
    """
    projections = sequences @ kernel
    if bias is not None:
        projections = add_bias(projections, bias)

    def step(projection, state):
        h, c = state
        z = projection + masked(h, recurrent_mask) @ recurrent_kernel
        return lstm_step(z, c, activation, recurrent_activation)

    return step_by_step(
        step,
        projections,
        initial_state,
        mask=mask,
        go_backwards=go_backwards,
        unroll=unroll,
        zero_output_for_mask=zero_output_for_mask,
    )


def masked(h, recurrent_mask):
    """A state as a recurrent product reads it: times a mask (batch, units), or as it is."""
    return h if recurrent_mask is None else ops.multiply(h, recurrent_mask)


def lstm_step(z, c, activation, recurrent_activation):
    """The output and the state after one time step, of what gates and content are activated of.

    Args:
        z: (batch, 4 * units), in the order i, f, content, o.
        c: (batch, units), the cell before.
        activation, recurrent_activation: as in `generic_lstm`.
    """
    i, f, content, o = ops.split(z, 4, axis=-1)
    c = ops.multiply(recurrent_activation(f), c) + ops.multiply(recurrent_activation(i), activation(content))
    h = ops.multiply(recurrent_activation(o), activation(c))
    return h, [h, c]


def step_by_step(
    step, projections, initial_state, *, mask=None, go_backwards=False, unroll=False, zero_output_for_mask=False
):
    """Keras's loop over the projections (batch, time, columns) of inputs; the rest is as in `generic_lstm`.

    Args:
        step: function of a time step's projections and the state, which gives an output and the new state.
    """
    _, outputs, state = keras_private.rnn(
        step,
        projections,
        initial_state,
        go_backwards=go_backwards,
        mask=mask,
        unroll=unroll,
        input_length=projections.shape[1],
        zero_output_for_mask=zero_output_for_mask,
    )
    return outputs, list(state), "generic"


def fast_lstm(sequences, state, kernel, recurrent_kernel, bias):
    """The framework's own LSTM of `tanh` and `sigmoid`, without masks.

    Args:
        sequences: (batch, time, features), in the order in which they are to be read.
        state: [h, c], each (batch, units), of the dtype of `sequences`.
        kernel: (features, 4 * units), gates in the order i, f, c, o.
        recurrent_kernel: (units, 4 * units).
        bias: (4 * units,) or None.

    Returns:
        As `generic_lstm`; or None, if the framework has none.
    """
    return


def fast_gru(sequences, state, kernel, recurrent_kernel, bias):
    """The framework's own GRU of `tanh` and `sigmoid`, with the reset gate after the product, without masks.

    Args:
        sequences, state, kernel, recurrent_kernel, bias: as `generic_gru` has them, the sequences in the order in which
            they are to be read.

    Returns:
        As `generic_gru`; or None, if the framework has none.
    """
    return


def weighted_sums(forget, addends, initial):
    """The sums c[t] = forget[t] * c[t - 1] + addends[t] of all time steps, by an associative scan.

    Two steps (f, a) and (g, b), one after the other, are the step (f * g, g * a + b), which is associative: the text is
    cut in blocks, whose steps are taken in all blocks at once, and then blocks are steps. Nothing is divided by.

    Not `keras.ops.associative_scan`: on a CPU it takes 3 times longer on PyTorch and 5 to 10 times on TensorFlow, which
    writes out 48 levels of it where the length is unknown; and on PyTorch it computes in float32 whatever it is given.

    Args:
        forget: floats (batch, time, units).
        addends: floats (batch, time, units), of the same dtype.
        initial: floats (batch, units), c[-1].

    Returns:
        Floats (batch, time, units).
    """
    length, units = forget.shape[1:]
    if length == 1:  # a word at a time, which is also what can be exported
        return forget * ops.expand_dims(initial, 1) + addends
    batch_size, time = ops.shape(forget)[:2]
    # Any number gives the right sums; TensorFlow may know the length only when the graph runs.
    steps = 8 if length is None else math.isqrt(length)
    blocks = -(-time // steps)

    def by_step(x):
        x = ops.pad(x, [[0, 0], [0, blocks * steps - time], [0, 0]])
        return ops.unstack(ops.reshape(x, (batch_size, blocks, steps, units)), steps, axis=2)

    # From each block's beginning: what is left of what was there before, and the sum of what is new.
    forget, addends = by_step(forget), by_step(addends)
    left, sums = [forget[0]], [addends[0]]
    for f, a in zip(forget[1:], addends[1:], strict=True):
        left.append(f * left[-1])
        sums.append(f * sums[-1] + a)

    def step(block, state):
        f, a = block[:, :units], block[:, units:]
        # Not `ops.add`, which on TensorFlow takes an empty batch for a bias.
        return state[0], [f * state[0] + a]

    if length is None:
        _, before, _ = keras_private.rnn(step, ops.concatenate([left[-1], sums[-1]], axis=-1), [initial])
    else:
        # Not with both in one array, for which JAX could derive no gradient: it is linear in the addends only.
        before = [initial]
        for block in range(blocks - 1):
            before.append(left[-1][:, block] * before[-1] + sums[-1][:, block])
        before = ops.stack(before, axis=1)
    whole = [f * before + a for f, a in zip(left, sums, strict=True)]
    return ops.reshape(ops.stack(whole, axis=2), (batch_size, blocks * steps, units))[:, :time]


def differentiable_sums(forget, addends, initial):
    """As `weighted_sums`; its gradient is two more such sums, on JAX much faster than a derived one."""
    return _differentiable()(forget, addends, initial)


@functools.cache
def _differentiable():
    # Created when called: where there are no gradients, Keras warns when it is created.
    @ops.custom_gradient
    def sums_of(forget, addends, initial):
        def gradient(*upstream, **named):
            # PyTorch passes it by name, after the arguments.
            d_sums = named["upstream"] if named else upstream[0]
            # What c[t] adds to all later sums: the same sum from the end.
            later = ops.concatenate([forget[:, 1:], ops.zeros_like(forget[:, :1])], axis=1)
            d_addends = differentiable_sums(ops.flip(later, 1), ops.flip(d_sums, 1), ops.zeros_like(initial))
            d_addends = ops.flip(d_addends, 1)
            # Computed again: as a constant they would make second-order gradients wrong.
            sums = differentiable_sums(forget, addends, initial)
            earlier = ops.concatenate([ops.expand_dims(initial, 1), sums[:, :-1]], axis=1)
            return ops.multiply(d_addends, earlier), d_addends, ops.multiply(forget[:, 0], d_addends[:, 0])

        return weighted_sums(forget, addends, initial), gradient

    return sums_of


def lstm_supports_jit() -> bool:
    """Whether XLA can compile what `lstm` runs."""
    return True

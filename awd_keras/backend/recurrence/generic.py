"""Loops over time, written only with `keras.ops`: right on every framework, tuned for none."""

import functools
import math

from keras import ops

from awd_keras.backend import keras_private


def masked(h, recurrent_mask):
    """The state that a recurrent product reads: multiplied by a mask (batch, units), or unchanged without one."""
    return h if recurrent_mask is None else ops.multiply(h, recurrent_mask)


def lstm_step(z, c, activation, recurrent_activation):
    """The output and the state after one time step.

    Args:
        z: (batch, 4 * units), gates and content before their activations, in the order i, f, content, o.
        c: (batch, units), the memory cell before the step.
        activation, recurrent_activation: as in `generic_lstm`.
    """
    i, f, content, o = ops.split(z, 4, axis=-1)
    c = ops.multiply(recurrent_activation(f), c) + ops.multiply(recurrent_activation(i), activation(content))
    h = ops.multiply(recurrent_activation(o), activation(c))
    return h, [h, c]


def step_by_step(
    step, projections, initial_state, *, mask=None, go_backwards=False, unroll=False, zero_output_for_mask=False
):
    """Keras's loop over the inputs' projections (batch, time, columns). Other arguments are as in `generic_lstm`.

    Args:
        step: function of a time step's projections and the state, which returns the output and the new state.
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
    """The framework's own LSTM, with the activations `tanh` and `sigmoid` and without masks.

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
    """The framework's own GRU, with `tanh` and `sigmoid`, the reset gate after the product, and without masks.

    Args:
        sequences, state, kernel, recurrent_kernel, bias: as `generic_gru` has them, the sequences in the order in which
            they are to be read.

    Returns:
        As `generic_gru`; or None, if the framework has none.
    """
    return


def weighted_sums(forget, addends, initial):
    """The sums c[t] = forget[t] * c[t - 1] + addends[t] of all time steps, by an associative scan.

    Two consecutive steps (f, a) and (g, b) make one step (f * g, g * a + b), and this is associative. So the text is
    cut into blocks. The steps within the blocks are computed for all blocks at once, and then each block is one step.
    There is no division.

    Not `keras.ops.associative_scan`. On a CPU it takes 3 times longer on PyTorch, and 5 to 10 times on TensorFlow,
    whose graph has 48 levels of it if the length is unknown. On PyTorch it computes in float32 whatever the dtype.

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
    # The length of a block. Any number gives the right sums. TensorFlow may know the length only when the graph runs,
    # and JAX has a symbol for it where Keras infers shapes.
    known = isinstance(length, int)
    steps = math.isqrt(length) if known else 8
    blocks = -(-time // steps)

    def by_step(x):
        x = ops.pad(x, [[0, 0], [0, blocks * steps - time], [0, 0]])
        return ops.unstack(ops.reshape(x, (batch_size, blocks, steps, units)), steps, axis=2)

    # From each block's beginning on: the factor of the state before the block, and the sum of the block's addends.
    forget, addends = by_step(forget), by_step(addends)
    left, sums = [forget[0]], [addends[0]]
    for f, a in zip(forget[1:], addends[1:], strict=True):
        left.append(f * left[-1])
        sums.append(f * sums[-1] + a)

    def step(block, state):
        f, a = block[:, :units], block[:, units:]
        # Not `ops.add`, which on TensorFlow treats an empty batch as a bias.
        return state[0], [f * state[0] + a]

    if not known:
        _, before, _ = keras_private.rnn(step, ops.concatenate([left[-1], sums[-1]], axis=-1), [initial])
    else:
        # Factors and sums aren't stacked in one array, as JAX could not derive its gradient: only the sums are linear.
        before = [initial]
        for block in range(blocks - 1):
            before.append(left[-1][:, block] * before[-1] + sums[-1][:, block])
        before = ops.stack(before, axis=1)
    whole = [f * before + a for f, a in zip(left, sums, strict=True)]
    return ops.reshape(ops.stack(whole, axis=2), (batch_size, blocks * steps, units))[:, :time]


def differentiable_sums(forget, addends, initial):
    """Like `weighted_sums`, with a gradient of two more such sums, which on JAX is much faster than a derived one."""
    return _differentiable()(forget, addends, initial)


@functools.cache
def _differentiable():
    # Created when called: where there are no gradients, Keras warns when it is created.
    @ops.custom_gradient
    def sums_of(forget, addends, initial):
        def gradient(*upstream, **named):
            # PyTorch passes it by name, after the arguments.
            d_sums = named["upstream"] if named else upstream[0]
            # How much c[t] contributes to all later sums: the same kind of sum, from the end.
            later = ops.concatenate([forget[:, 1:], ops.zeros_like(forget[:, :1])], axis=1)
            d_addends = differentiable_sums(ops.flip(later, 1), ops.flip(d_sums, 1), ops.zeros_like(initial))
            d_addends = ops.flip(d_addends, 1)
            # Computed again, as constants would make second-order gradients wrong.
            sums = differentiable_sums(forget, addends, initial)
            earlier = ops.concatenate([ops.expand_dims(initial, 1), sums[:, :-1]], axis=1)
            return ops.multiply(d_addends, earlier), d_addends, ops.multiply(forget[:, 0], d_addends[:, 0])

        return weighted_sums(forget, addends, initial), gradient

    return sums_of


def lstm_supports_jit() -> bool:
    """Whether XLA can compile what `lstm` runs."""
    return True

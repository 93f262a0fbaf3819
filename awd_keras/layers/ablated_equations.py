"""The equations of an LSTM that lacks a part, as functions of the signature of `backend.lstm`."""

from keras import ops

from awd_keras import backend


def simple_rnn(
    sequences,
    initial_state,
    kernel,
    recurrent_kernel,
    bias,
    *,
    activation,
    recurrent_activation,
    recurrent_mask=None,
    **loop,
):
    """No gates: h[t] = c[t] = activation(x[t] @ kernel + h[t - 1] @ recurrent_kernel + bias)."""
    projections = _project(sequences, kernel)
    if bias is not None:
        projections = backend.add_bias(projections, bias)

    def step(projection, state):
        # Not `ops.add`, which on TensorFlow takes an empty batch for a bias.
        h = activation(projection + _masked(state[0], recurrent_mask) @ recurrent_kernel)
        return h, [h, h]

    return _loop(step, projections, initial_state, **loop)


def gates_of_hidden(
    sequences,
    initial_state,
    kernel,
    recurrent_kernel,
    bias,
    *,
    activation,
    recurrent_activation,
    recurrent_mask=None,
    **loop,
):
    """The content is a product of x alone, the gates see h too; without columns for o, h is c."""
    units = initial_state[0].shape[-1]
    projections = _gates_then_content(sequences, kernel, bias, units)

    def step(projection, state):
        h, c = state
        gates, content = projection[:, :-units], projection[:, -units:]
        gates = recurrent_activation(gates + _masked(h, recurrent_mask) @ recurrent_kernel)
        i, f, *o = ops.split(gates, gates.shape[-1] // units, axis=-1)
        c = f * c + i * content
        h = ops.multiply(o[0], activation(c)) if o else c
        return h, [h, c]

    return _loop(step, projections, initial_state, **loop)


def gates_of_inputs(
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
    """Content and gates see x alone: the cell is a sum over time, and no step waits for a product."""
    if go_backwards:
        sequences = ops.flip(sequences, axis=1)
    units = initial_state[0].shape[-1]
    projections = _gates_then_content(sequences, kernel, bias, units)
    i, f, o = ops.split(recurrent_activation(projections[..., :-units]), 3, axis=-1)
    addends = ops.multiply(i, projections[..., -units:])
    if mask is not None:
        counts = ops.cast(ops.expand_dims(ops.flip(mask, axis=1) if go_backwards else mask, -1), "bool")
        f, addends = ops.where(counts, f, ops.ones_like(f)), ops.where(counts, addends, ops.zeros_like(addends))
    c = backend.weighted_sums(f, addends, initial_state[1])
    h = held = ops.multiply(o, activation(c))
    if mask is not None:
        h = ops.where(counts, h, ops.zeros_like(h))
        # What a step that doesn't count puts out is the output before it: a sum that keeps all, or takes the new alone.
        held = backend.weighted_sums(ops.where(counts, ops.zeros_like(h), ops.ones_like(h)), h, initial_state[0])
    return h if zero_output_for_mask else held, [held[:, -1], c[:, -1]], "associative_scan"


def _project(sequences, kernel):
    """One product for all time steps; of rows, as TensorFlow takes twice as long for the gradient of three axes."""
    batch_size, time, features = ops.shape(sequences)
    rows = backend.product(ops.reshape(sequences, (-1, features)), kernel)
    return ops.reshape(rows, (batch_size, time, kernel.shape[-1]))


def _gates_then_content(sequences, kernel, bias, units):
    """The projections of i, f and, if it is there, o, with their bias; then those of the content, which has none."""
    i, f, content, *o = ops.split(_project(sequences, kernel), kernel.shape[-1] // units, axis=-1)
    projections = ops.concatenate([i, f, *o, content], axis=-1)
    return projections if bias is None else backend.add_bias(projections, ops.pad(bias, [[0, units]]))


def _masked(h, recurrent_mask):
    return h if recurrent_mask is None else ops.multiply(h, recurrent_mask)


def _loop(step, projections, initial_state, *, mask, go_backwards, unroll, zero_output_for_mask):
    _, outputs, state = backend.rnn(
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

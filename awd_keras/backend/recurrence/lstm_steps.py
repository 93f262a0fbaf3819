"""The LSTM over a whole sequence: by Keras's loop, and by a loop with a hand-written gradient."""

from keras import ops

from awd_keras.backend.loops import (
    by_hand,
    by_time,
    loop,
    products_in_steps,
    sigmoid,
    summed_products,
    tanh,
    transposed_products_in_steps,
)
from awd_keras.backend.precision import add_bias
from awd_keras.backend.recurrence.generic import lstm_step, masked, step_by_step


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
        mask: boolean (batch, time) or None. Where it is False, the step doesn't change the state.
        recurrent_mask: (batch, units) or None; multiplies h before each recurrent product.
        go_backwards: whether time runs from the last step to the first (outputs in that order).
        unroll: whether to unroll the loop.
        zero_output_for_mask: whether the output of a masked step is zeros instead of the last output.

    Returns:
        Outputs (batch, time, units), the final [h, c], and the name of the implementation that ran.
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


def fused_lstm(sequences, state, kernel, recurrent_kernel, bias):
    """Like `fast_lstm`, by a loop with a hand-written gradient."""
    outputs, h, c = _lstm(by_time(sequences, kernel, bias), *state, recurrent_kernel)
    return ops.transpose(outputs, (1, 0, 2)), [h, c], "fused"


def forward_step(z, c):
    """The new h and c (batch, units), and the gates and the content (batch, 4 * units) that the gradient needs.

    Args:
        z, c: as `lstm_step` has them.
    """
    units = c.shape[-1]
    i_f, content, o = z[:, : 2 * units], z[:, 2 * units : 3 * units], z[:, 3 * units :]
    i_f, content, o = sigmoid(i_f), tanh(content), sigmoid(o)
    c = i_f[:, units:] * c + i_f[:, :units] * content
    return o * tanh(c), c, ops.concatenate([i_f, content, o], axis=-1)


def backward_step(d_h, d_c, gates, c, earlier_c):
    """The gradients of `forward_step`: of z, and of c before the step.

    Args:
        d_h, d_c: (batch, units), the gradients of h and c after the step.
        gates, c: what `forward_step` has returned.
        earlier_c: (batch, units), c before the step.
    """
    units = c.shape[-1]
    i, f, content, o = (gates[:, part * units : (part + 1) * units] for part in range(4))
    tanh_c = tanh(c)
    d_c = d_c + d_h * o * (1 - tanh_c * tanh_c)
    d_i = d_c * content * i * (1 - i)
    d_f = d_c * earlier_c * f * (1 - f)
    d_content = d_c * i * (1 - content * content)
    d_o = d_h * tanh_c * o * (1 - o)
    return ops.concatenate([d_i, d_f, d_content, d_o], axis=-1), d_c * f


def _forward(projections, h, c, recurrent_kernel):
    """Projections (time, batch, 4 * units), h and c (batch, units)."""
    units = h.shape[-1]
    (product,) = products_in_steps(projections, recurrent_kernel)

    def step(carry, series):
        (h, c), (projection,) = carry, series
        h, c, gates = forward_step(projection + product(h), c)
        return (h, c), (h, c, gates)

    (last_h, last_c), saved = loop(step, (h, c), (projections,), (units, units, 4 * units))
    return (saved[0], last_h, last_c), saved


def _backward(tensors, saved, upstream):
    _, h, c, recurrent_kernel = tensors
    hs, cs, gates = saved
    d_hs, d_h, d_c = upstream
    (transposed_product,) = transposed_products_in_steps(d_hs, recurrent_kernel)
    earlier_cs = ops.concatenate([c[None], cs[:-1]], axis=0)

    def step(carry, series):
        (d_h, d_c), (d_output, gates, c, earlier_c) = carry, series
        d_z, d_c = backward_step(d_h + d_output, d_c, gates, c, earlier_c)
        return (transposed_product(d_z), d_c), (d_z,)

    series = (d_hs, gates, cs, earlier_cs)
    (d_h, d_c), (d_z,) = loop(step, (d_h, d_c), series, (recurrent_kernel.shape[-1],), reverse=True)
    earlier_hs = ops.concatenate([h[None], hs[:-1]], axis=0)
    return d_z, d_h, d_c, summed_products(earlier_hs, d_z)


_lstm = by_hand(_forward, _backward)

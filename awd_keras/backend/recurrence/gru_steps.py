"""The GRU over a whole sequence: by Keras's loop, and by a loop with a hand-written gradient."""

from keras import ops

from awd_keras.backend.loops import (
    by_hand,
    by_time,
    loop,
    products_in_steps,
    sigmoid,
    summed_over_rows,
    summed_products,
    tanh,
    transposed_products_in_steps,
)
from awd_keras.backend.precision import add_bias
from awd_keras.backend.recurrence.generic import masked, step_by_step


def generic_gru(
    sequences,
    initial_state,
    kernel,
    recurrent_kernel,
    bias,
    *,
    activation,
    recurrent_activation,
    reset_after,
    recurrent_mask=None,
    **options,
):
    """Runs a GRU over whole sequences: one product for all input projections, then Keras's loop.

    Args:
        sequences: (batch, time, features).
        initial_state: [h], (batch, units), of the dtype of `sequences`.
        kernel: (features, 3 * units), in the order z, r, n.
        recurrent_kernel: (units, 3 * units), already masked.
        bias: with `reset_after` (2, 3 * units), one row for the inputs and one for the state; else (3 * units,); or
            None.
        activation: function of the content n.
        recurrent_activation: function of the gates.
        reset_after: whether the reset gate is applied after the product with the recurrent kernel.
        recurrent_mask: (batch, units) or None; multiplies h before each recurrent product.
        **options: as `generic_lstm` has them.

    Returns:
        Outputs (batch, time, units), the final [h], and the name of the implementation that ran.
    """
    units = recurrent_kernel.shape[0]
    projections = sequences @ kernel
    recurrent_bias = None
    if bias is not None:
        projections = add_bias(projections, bias[0] if reset_after else bias)
        recurrent_bias = bias[1] if reset_after else None

    def step(projection, state):
        h = state[0]
        seen = masked(h, recurrent_mask)
        inner = seen @ (recurrent_kernel if reset_after else recurrent_kernel[:, : 2 * units])
        if recurrent_bias is not None:
            inner = add_bias(inner, recurrent_bias)
        gates = recurrent_activation(projection[:, : 2 * units] + inner[:, : 2 * units])
        z, r = gates[:, :units], gates[:, units:]
        if reset_after:
            content = ops.multiply(r, inner[:, 2 * units :])
        else:
            content = ops.multiply(r, seen) @ recurrent_kernel[:, 2 * units :]
        content = activation(projection[:, 2 * units :] + content)
        h = ops.multiply(z, h) + ops.multiply(1 - z, content)
        return h, [h]

    return step_by_step(step, projections, initial_state, **options)


def fused_gru(sequences, state, kernel, recurrent_kernel, bias):
    """Like `fast_gru`, by a loop with a hand-written gradient."""
    units = recurrent_kernel.shape[0]
    inner_bias = ops.zeros((units,), dtype=sequences.dtype)
    if bias is not None:
        # The state's bias of the gates is added to the projections once. That of the content can't be: the reset gate
        # multiplies it.
        inner_bias = bias[1, 2 * units :]
        bias = bias[0] + ops.pad(bias[1, : 2 * units], [[0, units]])
    projections = by_time(sequences, kernel, bias)
    outputs, h = _gru(projections, state[0], recurrent_kernel, inner_bias)
    return ops.transpose(outputs, (1, 0, 2)), [h], "fused"


def _forward(projections, h, recurrent_kernel, inner_bias):
    """Projections (time, batch, 3 * units), h (batch, units), and the bias that the reset gate multiplies (units,)."""
    units = h.shape[-1]
    (product,) = products_in_steps(projections, recurrent_kernel)

    def step(carry, series):
        (h,), (projection,) = carry, series
        inner = product(h)
        gates = sigmoid(projection[:, : 2 * units] + inner[:, : 2 * units])
        z, r = gates[:, :units], gates[:, units:]
        within = inner[:, 2 * units :] + inner_bias
        content = tanh(projection[:, 2 * units :] + r * within)
        h = content + z * (h - content)
        return (h,), (h, ops.concatenate([gates, content, within], axis=-1))

    (last,), (hs, steps) = loop(step, (h,), (projections,), (units, 4 * units))
    return (hs, last), (hs, steps)


def _backward(tensors, saved, upstream):
    _, h, recurrent_kernel, _ = tensors
    hs, steps = saved
    d_hs, d_h = upstream
    units = h.shape[-1]
    (transposed_product,) = transposed_products_in_steps(d_hs, recurrent_kernel)
    earlier_hs = ops.concatenate([h[None], hs[:-1]], axis=0)

    def step(carry, series):
        (d_h,), (d_output, values, earlier) = carry, series
        z, r, content, within = (values[:, part * units : (part + 1) * units] for part in range(4))
        d_h = d_h + d_output
        d_z = d_h * (earlier - content) * z * (1 - z)
        d_content = d_h * (1 - z) * (1 - content * content)
        d_r = d_content * within * r * (1 - r)
        d_within = d_content * r
        d_inner = ops.concatenate([d_z, d_r, d_within], axis=-1)
        d_h = d_h * z + transposed_product(d_inner)
        return (d_h,), (d_inner, d_content)

    (d_h,), (d_inner, d_content) = loop(step, (d_h,), (d_hs, steps, earlier_hs), (3 * units, units), reverse=True)
    d_projections = ops.concatenate([d_inner[..., : 2 * units], d_content], axis=-1)
    return (
        d_projections,
        d_h,
        summed_products(earlier_hs, d_inner),
        summed_over_rows(d_inner[..., 2 * units :]),
    )


_gru = by_hand(_forward, _backward)

"""The Mogrifier LSTM over a whole sequence: by Keras's loop, and by a loop with a hand-written gradient."""

from keras import ops

from awd_keras.backend.loops import (
    by_hand,
    loop,
    products_in_steps,
    sigmoid,
    summed_over_rows,
    summed_products,
    transposed_products_in_steps,
)
from awd_keras.backend.precision import add_bias
from awd_keras.backend.recurrence.generic import lstm_step, masked, step_by_step
from awd_keras.backend.recurrence.lstm_steps import backward_step, forward_step


def generic_mogrifier(
    sequences,
    initial_state,
    kernel,
    recurrent_kernel,
    bias,
    *mogrifiers,
    activation,
    recurrent_activation,
    recurrent_mask=None,
    **options,
):
    """Runs a Mogrifier LSTM over whole sequences, by Keras's loop.

    Args:
        sequences, initial_state, kernel, recurrent_kernel, bias: as `generic_lstm` has them.
        *mogrifiers: the matrices of the rounds: (units, features), (features, units), and so on in turn.
        activation, recurrent_activation: as `generic_lstm` has them. The rounds use `sigmoid`.
        recurrent_mask: (batch, units) or None; multiplies h before the rounds and the recurrent product.
        **options: as `generic_lstm` has them.

    Returns:
        As `generic_lstm`.
    """

    def step(x, state):
        h, c = state
        h = masked(h, recurrent_mask)
        for number, mogrifier in enumerate(mogrifiers):
            if number % 2 == 0:
                x = ops.multiply(2 * ops.sigmoid(h @ mogrifier), x)
            else:
                h = ops.multiply(2 * ops.sigmoid(x @ mogrifier), h)
        z = x @ kernel + h @ recurrent_kernel
        if bias is not None:
            z = add_bias(z, bias)
        return lstm_step(z, c, activation, recurrent_activation)

    return step_by_step(step, sequences, initial_state, **options)


def fused_mogrifier(sequences, state, kernel, recurrent_kernel, bias, *mogrifiers):
    """Like `generic_mogrifier`, with `tanh` and `sigmoid` and without masks, by a loop with a hand-written gradient."""
    if bias is None:
        bias = ops.zeros((kernel.shape[-1],), dtype=sequences.dtype)
    # One product for x and h, which are concatenated.
    kernel = ops.concatenate([kernel, recurrent_kernel], axis=0)
    outputs, h, c = _mogrifier(ops.transpose(sequences, (1, 0, 2)), *state, kernel, bias, *mogrifiers)
    return ops.transpose(outputs, (1, 0, 2)), [h, c], "fused"


def _forward(sequences, h, c, kernel, bias, *mogrifiers):
    """The arguments are (time, batch, features), h and c (batch, units), the kernel of x and h together, the bias."""
    units = h.shape[-1]
    product, *gatings = products_in_steps(sequences, kernel, *mogrifiers)

    def step(carry, series):
        (h, c), (x,) = carry, series
        factors = []
        for number, gating in enumerate(gatings):
            factor = 2 * sigmoid(gating(x if number % 2 else h))
            factors.append(factor)
            if number % 2:
                h = factor * h
            else:
                x = factor * x
        h, c, gates = forward_step(product(ops.concatenate([x, h], axis=-1)) + bias, c)
        return (h, c), (h, c, gates, *factors)

    widths = (units, units, 4 * units, *(matrix.shape[-1] for matrix in mogrifiers))
    (last_h, last_c), saved = loop(step, (h, c), (sequences,), widths)
    return (saved[0], last_h, last_c), saved


def _mogrified(x, h, factors):
    """The values of x and h before each round and after the last one."""
    seen = [(x, h)]
    for number, factor in enumerate(factors):
        x, h = (x, factor * h) if number % 2 else (factor * x, h)
        seen.append((x, h))
    return seen


def _backward(tensors, saved, upstream):
    sequences, h, c, kernel, _, *mogrifiers = tensors
    hs, cs, gates, *factors = saved
    d_hs, d_h, d_c = upstream
    features, units = sequences.shape[-1], h.shape[-1]
    earlier_hs = ops.concatenate([h[None], hs[:-1]], axis=0)
    earlier_cs = ops.concatenate([c[None], cs[:-1]], axis=0)
    transposed_product, *d_gatings = transposed_products_in_steps(d_hs, kernel, *mogrifiers)

    def step(carry, series):
        (d_h, d_c), (d_output, gates, c, earlier_c, x, h, *factors) = carry, series
        d_z, d_c = backward_step(d_h + d_output, d_c, gates, c, earlier_c)
        both = transposed_product(d_z)
        d_x, d_h = both[:, :features], both[:, features:]
        seen = _mogrified(x, h, factors)
        d_products = [None] * len(factors)
        for number in reversed(range(len(factors))):
            (x, h), factor = seen[number], factors[number]
            # The derivative of 2 * sigmoid, written in terms of its value.
            slope = factor * (1 - 0.5 * factor)
            if number % 2:
                d_products[number] = d_h * h * slope
                d_h = d_h * factor
                d_x = d_x + d_gatings[number](d_products[number])
            else:
                d_products[number] = d_x * x * slope
                d_x = d_x * factor
                d_h = d_h + d_gatings[number](d_products[number])
        return (d_h, d_c), (d_z, d_x, *d_products)

    widths = (4 * units, features, *(factor.shape[-1] for factor in factors))
    series = (d_hs, gates, cs, earlier_cs, sequences, earlier_hs, *factors)
    (d_h, d_c), (d_z, d_x, *d_products) = loop(step, (d_h, d_c), series, widths, reverse=True)
    seen = _mogrified(sequences, earlier_hs, factors)
    d_kernel = summed_products(ops.concatenate(seen[-1], axis=-1), d_z)
    d_mogrifiers = (
        summed_products(x if number % 2 else h, d_product)
        for number, ((x, h), d_product) in enumerate(zip(seen, d_products, strict=False))
    )
    return d_x, d_h, d_c, d_kernel, summed_over_rows(d_z), *d_mogrifiers


_mogrifier = by_hand(_forward, _backward)

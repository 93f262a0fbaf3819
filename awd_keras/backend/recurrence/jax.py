"""Loops over time on JAX: cuDNN on a GPU, else a scan with a hand-written derivative."""

import jax
import jax.numpy as jnp
import numpy as np

from awd_keras.backend import keras_private
from awd_keras.backend.loops.jax import _linear_function, _times_transposed, products_in_steps
from awd_keras.backend.precision import add_bias
from awd_keras.backend.recurrence import generic


def fast_lstm(sequences, state, kernel, recurrent_kernel, bias):
    """Uses cuDNN if there are biases and all is float32, as it needs both."""
    h, c = state
    if jax.default_backend() == "gpu" and sequences.dtype == jnp.float32 and bias is not None:
        return *keras_private.lstm(sequences, h, c, kernel, recurrent_kernel, bias), "cudnn"
    # One row for each token, as Eigen multiplies such a matrix without copying it.
    by_time = jnp.swapaxes(sequences, 0, 1)
    rows = by_time.reshape(-1, by_time.shape[-1])
    projections = rows @ kernel if bias is None else add_bias(rows @ kernel, bias)
    projections = projections.reshape(*by_time.shape[:2], kernel.shape[-1])
    outputs, h, c = _recurrence(projections, h, c, recurrent_kernel)
    return jnp.swapaxes(outputs, 0, 1), [h, c], "fused"


@jax.custom_jvp
def _recurrence(projections, h, c, recurrent_kernel):
    """The loop over time. JAX's own gradient would compute one product for the recurrent kernel in every step.

    Args:
        projections: (time, batch, 4 * units), the inputs times the input kernel, plus the bias.
        h: (batch, units).
        c: (batch, units).
        recurrent_kernel: (units, 4 * units).

    Returns:
        Outputs (time, batch, units), the final h, and the final c.
    """
    return _steps(projections, h, c, recurrent_kernel)[0]


def _steps(projections, h, c, recurrent_kernel):
    """The results of `_recurrence`, and h, c and the gates of all time steps."""

    def step(carry, projection):
        h, c = carry
        z = projection + product(h)
        # All gates in one pass of tanh, 2 times faster: sigmoid(x) = tanh(x / 2) / 2 + 1 / 2.
        gates = jnp.tanh(z * scales) * scales + (1 - scales)
        i, f, content, o = jnp.split(gates, 4, axis=-1)
        c = f * c + i * content
        h = o * jnp.tanh(c)
        return (h, c), (h, c, gates)

    (product,) = products_in_steps(projections, recurrent_kernel)
    scales = np.repeat(np.array([0.5, 0.5, 1, 0.5], projections.dtype), h.shape[-1])
    (last_h, last_c), (hs, cs, gates) = jax.lax.scan(step, (h, c), projections)
    return (hs, last_h, last_c), (hs, cs, gates)


@_recurrence.defjvp
def _recurrence_tangents(primals, tangents):
    _, h, c, recurrent_kernel = primals
    results, saved = _steps(*primals)
    return results, tuple(_recurrence_derivative((h, c, *saved, recurrent_kernel), tangents))


def _recurrence_forward(saved, directions):
    """The derivative of the results in the directions of the arguments."""
    h, c, hs, cs, gates, recurrent_kernel = saved
    d_projections, d_h, d_c, d_recurrent_kernel = directions
    earlier_hs = jnp.concatenate([h[None], hs[:-1]])
    earlier_cs = jnp.concatenate([c[None], cs[:-1]])
    d_zs = d_projections + earlier_hs @ d_recurrent_kernel

    def step(carry, values):
        d_h, d_c = carry
        d_z, gate, c, earlier_c = values
        d_i, d_f, d_content, d_o = jnp.split(d_z + d_h @ recurrent_kernel, 4, axis=-1)
        i, f, content, o = jnp.split(gate, 4, axis=-1)
        tanh_c = jnp.tanh(c)
        d_c = d_c * f + d_i * content * i * (1 - i) + d_f * earlier_c * f * (1 - f) + d_content * i * (1 - content**2)
        d_h = d_o * tanh_c * o * (1 - o) + d_c * o * (1 - tanh_c**2)
        return (d_h, d_c), d_h

    (d_h, d_c), d_hs = jax.lax.scan(step, (d_h, d_c), (d_zs, gates, cs, earlier_cs))
    return d_hs, d_h, d_c


def _recurrence_backward(saved, gradients):
    """The gradients of the arguments."""
    h, c, hs, cs, gates, recurrent_kernel = saved
    d_hs, d_h, d_c = gradients
    earlier_hs = jnp.concatenate([h[None], hs[:-1]])
    earlier_cs = jnp.concatenate([c[None], cs[:-1]])

    def step(carry, values):
        d_h, d_c = carry
        d_output, gate, c, earlier_c = values
        i, f, content, o = jnp.split(gate, 4, axis=-1)
        tanh_c = jnp.tanh(c)
        d_h = d_h + d_output
        d_c = d_c + d_h * o * (1 - tanh_c**2)
        d_z = jnp.concatenate(
            [
                d_c * content * i * (1 - i),
                d_c * earlier_c * f * (1 - f),
                d_c * i * (1 - content**2),
                d_h * tanh_c * o * (1 - o),
            ],
            axis=-1,
        )
        return (_times_transposed(d_z, recurrent_kernel), d_c * f), d_z

    (d_h, d_c), d_z = jax.lax.scan(step, (d_h, d_c), (d_hs, gates, cs, earlier_cs), reverse=True)
    units, width = recurrent_kernel.shape
    d_recurrent_kernel = earlier_hs.reshape(-1, units).T @ d_z.reshape(-1, width)
    return d_z, d_h, d_c, d_recurrent_kernel


_recurrence_derivative = _linear_function(_recurrence_forward, _recurrence_backward)


@jax.custom_jvp
def weighted_sums(forget, addends, initial):
    """Has a hand-written gradient of two more such sums, which is much faster than a derived one."""
    return generic.weighted_sums(forget, addends, initial)


@weighted_sums.defjvp
def _weighted_sums_tangents(primals, tangents):
    forget, _, initial = primals
    sums = weighted_sums(*primals)
    earlier = jnp.concatenate([initial[:, None], sums[:, :-1]], axis=1)
    return sums, _sums_derivative((forget, earlier), tangents)[0]


def _sums_forward(saved, directions):
    forget, earlier = saved
    d_forget, d_addends, d_initial = directions
    return (weighted_sums(forget, d_addends + d_forget * earlier, d_initial),)


def _sums_backward(saved, gradients):
    forget, earlier = saved
    # How much c[t] contributes to all later sums: the same kind of sum, from the end.
    later = jnp.concatenate([forget[:, 1:], jnp.zeros_like(forget[:, :1])], axis=1)
    d_addends = weighted_sums(later[:, ::-1], gradients[0][:, ::-1], jnp.zeros_like(forget[:, 0]))[:, ::-1]
    return d_addends * earlier, d_addends, forget[:, 0] * d_addends[:, 0]


_sums_derivative = _linear_function(_sums_forward, _sums_backward)

"""JAX."""

import contextlib
import math

import jax
import jax.numpy as jnp
import numpy as np
from keras.src import activations
from keras.src import backend as keras_backend

from awd_keras.backend import generic
from awd_keras.backend.differentiable_sums import differentiable_sums
from awd_keras.backend.mask_bits import mask_bits


def lstm(
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
    """As `generic.lstm`: cuDNN on a GPU, else a scan with a gradient of its own."""
    if (
        activation is activations.tanh
        and recurrent_activation is activations.sigmoid
        and mask is None
        and recurrent_mask is None
        and not unroll
    ):
        if go_backwards:
            sequences = jnp.flip(sequences, axis=1)
        on_gpu = jax.default_backend() == "gpu"
        run = _cudnn if on_gpu and sequences.dtype == jnp.float32 and bias is not None else _fused
        h, c = initial_state
        outputs, h, c = run(sequences, h, c, kernel, recurrent_kernel, bias)
        return outputs, [h, c], run.__name__.removeprefix("_")
    return generic.lstm(
        sequences,
        initial_state,
        kernel,
        recurrent_kernel,
        bias,
        activation=activation,
        recurrent_activation=recurrent_activation,
        mask=mask,
        recurrent_mask=recurrent_mask,
        go_backwards=go_backwards,
        unroll=unroll,
        zero_output_for_mask=zero_output_for_mask,
    )


def _cudnn(sequences, h, c, kernel, recurrent_kernel, bias):
    _, outputs, state = keras_backend.lstm(
        sequences,
        h,
        c,
        None,
        kernel,
        recurrent_kernel,
        bias,
        activations.tanh,
        activations.sigmoid,
        return_sequences=True,
    )
    return outputs, *state


def _fused(sequences, h, c, kernel, recurrent_kernel, bias):
    # A row a token, for whose products Eigen need not copy.
    by_time = jnp.swapaxes(sequences, 0, 1)
    rows = by_time.reshape(-1, by_time.shape[-1])
    projections = rows @ kernel if bias is None else affine(rows, kernel, bias)
    projections = projections.reshape(*by_time.shape[:2], kernel.shape[-1])
    outputs, h, c = _recurrence(projections, h, c, recurrent_kernel)
    return jnp.swapaxes(outputs, 0, 1), h, c


@jax.custom_vjp
def _recurrence(projections, h, c, recurrent_kernel):
    """The loop over time. JAX's own gradient of it would make one product for the recurrent kernel a step.

    Args:
        projections: (time, batch, 4 * units), the inputs times the input kernel, plus the bias.
        h: (batch, units).
        c: (batch, units).
        recurrent_kernel: (units, 4 * units).

    Returns:
        Outputs (time, batch, units), the final h, and the final c.
    """
    return _recurrence_forward(projections, h, c, recurrent_kernel)[0]


def _recurrence_forward(projections, h, c, recurrent_kernel):
    def step(carry, projection):
        h, c = carry
        z = projection + h @ recurrent_kernel
        # All in one pass, 2 times faster, as sigmoid(x) is tanh(x / 2) / 2 + 1 / 2.
        gates = jnp.tanh(z * scales) * scales + (1 - scales)
        i, f, content, o = jnp.split(gates, 4, axis=-1)
        c = f * c + i * content
        h = o * jnp.tanh(c)
        return (h, c), (h, c, gates)

    scales = np.repeat(np.array([0.5, 0.5, 1, 0.5], projections.dtype), h.shape[-1])

    (last_h, last_c), (hs, cs, gates) = jax.lax.scan(step, (h, c), projections)
    return (hs, last_h, last_c), (h, c, hs, cs, gates, recurrent_kernel)


def _recurrence_backward(saved, gradients):
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
        # As kernel @ d_z.T, and the barrier keeps XLA from turning it round: Eigen takes 1.6 times longer for
        # d_z @ kernel.T, whose second operand it has to transpose in every time step.
        d_h = jax.lax.optimization_barrier(jnp.einsum("uz,bz->ub", recurrent_kernel, d_z)).T
        return (d_h, d_c * f), d_z

    (d_h, d_c), d_z = jax.lax.scan(step, (d_h, d_c), (d_hs, gates, cs, earlier_cs), reverse=True)
    units, width = recurrent_kernel.shape
    d_recurrent_kernel = earlier_hs.reshape(-1, units).T @ d_z.reshape(-1, width)
    return d_z, d_h, d_c, d_recurrent_kernel


_recurrence.defvjp(_recurrence_forward, _recurrence_backward)


def weighted_sums(forget, addends, initial):
    """As `generic.weighted_sums`."""
    return differentiable_sums(forget, addends, initial)


def cross_entropy(ids, rows):
    """As `generic.cross_entropy`."""
    return generic.cross_entropy(ids, rows)


def keep_losses(targets, logits, losses):
    """As `generic.keep_losses`."""


def kept_losses(targets, logits):
    """As `generic.kept_losses`."""
    return


def product(rows, kernel):
    """As `generic.product`."""
    return generic.product(rows, kernel)


def affine(rows, kernel, bias):
    """As `generic.affine`."""
    return generic.affine(rows, kernel, bias)


def keep_by_columns(variable):
    """As `generic.keep_by_columns`: XLA lays out all arrays itself."""


def exporting(variables):
    """As `generic.exporting`."""
    return contextlib.nullcontext()


def device_name() -> str:
    """As `generic.device_name`."""
    return jax.local_devices()[0].device_kind


def lstm_supports_jit() -> bool:
    """As `generic.lstm_supports_jit`."""
    return True


def map_flat(function, tensor):
    """As `generic.map_flat`: there are no ragged tensors."""
    return function(tensor)


def keep_mask(shape, rate, seed):
    """As `generic.keep_mask`, from as few random bits as `mask_bits` says."""
    bits, threshold = mask_bits(rate)
    count, parts = math.prod(shape), 32 // bits
    # JAX's own draws of 8 and 16 bits cost 64 bits each. The barrier keeps XLA from drawing a word anew for each part.
    words = jax.lax.optimization_barrier(jax.random.bits(seed, (-(-count // parts),)))
    values = jax.lax.bitcast_convert_type(words, f"uint{bits}")
    return (values >= threshold).reshape(-1)[:count].reshape(shape)


def drop(values, keep, rate):
    """As `generic.drop`."""
    return generic.drop(values, keep, rate)


def global_norm(gradients):
    """As `generic.global_norm`; XLA makes one pass of it, as of the two functions that follow."""
    return generic.global_norm(gradients)


def descend(variables, gradients, learning_rate, scale, decays, finite):
    """As `generic.descend`."""
    generic.descend(variables, gradients, learning_rate, scale, decays, finite)


def average(averages, variables, share):
    """As `generic.average`."""
    generic.average(averages, variables, share)


def jit_compile():
    """As `generic.jit_compile`: JAX without it would run operation by operation."""
    return "auto"


def compiles_each_length(jit_compile):
    """As `generic.compiles_each_length`."""
    return True

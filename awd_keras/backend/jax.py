"""JAX."""

import contextlib
import math

import jax
import jax.numpy as jnp
from keras.src import activations
from keras.src import backend as keras_backend
from keras.src.backend.common.stateless_scope import in_stateless_scope

from awd_keras.backend import generic
from awd_keras.backend.jax_linear import linear_function
from awd_keras.backend.jax_recurrence import recurrence
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
    outputs, h, c = recurrence(projections, h, c, recurrent_kernel)
    return jnp.swapaxes(outputs, 0, 1), h, c


def weighted_sums(forget, addends, initial):
    """As `generic.weighted_sums`."""
    return _weighted_sums(forget, addends, initial)


@jax.custom_jvp
def _weighted_sums(forget, addends, initial):
    """With a gradient of its own, two more such sums, which is much faster than a derived one."""
    return generic.weighted_sums(forget, addends, initial)


@_weighted_sums.defjvp
def _weighted_sums_tangents(primals, tangents):
    forget, _, initial = primals
    sums = _weighted_sums(*primals)
    earlier = jnp.concatenate([initial[:, None], sums[:, :-1]], axis=1)
    return sums, _sums_derivative((forget, earlier), tangents)[0]


def _sums_forward(saved, directions):
    forget, earlier = saved
    d_forget, d_addends, d_initial = directions
    return (_weighted_sums(forget, d_addends + d_forget * earlier, d_initial),)


def _sums_backward(saved, gradients):
    forget, earlier = saved
    # What c[t] adds to all later sums: the same sum from the end.
    later = jnp.concatenate([forget[:, 1:], jnp.zeros_like(forget[:, :1])], axis=1)
    d_addends = _weighted_sums(later[:, ::-1], gradients[0][:, ::-1], jnp.zeros_like(forget[:, 0]))[:, ::-1]
    return d_addends * earlier, d_addends, forget[:, 0] * d_addends[:, 0]


_sums_derivative = linear_function(_sums_forward, _sums_backward)


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


def locked_dropout(inputs, rate, seed):
    """As `generic.locked_dropout`."""
    return generic.locked_dropout(inputs, rate, seed)


def untransformed():
    """As `generic.untransformed`."""
    return generic.untransformed()


def can_assign(values):
    """As `generic.can_assign`."""
    return in_stateless_scope() or not any(isinstance(value, jax.core.Tracer) for value in values)


def rematerialize(function, tensors):
    """As `generic.rematerialize`."""
    return generic.rematerialize(function, tensors)


def check_first_run(name):
    """As `generic.check_first_run`: JAX runs a program again, and doesn't make the call."""


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

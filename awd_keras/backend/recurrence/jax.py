"""Loops over time on JAX: cuDNN on a GPU, and the derivative of weighted sums."""

import jax
import jax.numpy as jnp

from awd_keras.backend import keras_private
from awd_keras.backend.loops.jax import _linear_function
from awd_keras.backend.recurrence import generic


def fast_lstm(sequences, state, kernel, recurrent_kernel, bias):
    """Uses cuDNN on a GPU if there are biases and all is float32, as it needs both."""
    if jax.default_backend() != "gpu" or sequences.dtype != jnp.float32 or bias is None:
        return None
    h, c = state
    return *keras_private.lstm(sequences, h, c, kernel, recurrent_kernel, bias), "cudnn"


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

"""What is better on JAX, where XLA makes one pass of what `generic` does in several."""

import math

import jax

from awd_keras.backend.generic import mask_bits
from awd_keras.backend.keras_private import in_stateless_scope


def device_name() -> str:
    return jax.local_devices()[0].device_kind


def keep_mask(shape, rate, seed):
    """From as few random bits as `mask_bits` says."""
    bits, threshold = mask_bits(rate)
    count, parts = math.prod(shape), 32 // bits
    # JAX's own draws of 8 and 16 bits cost 64 bits each. The barrier keeps XLA from drawing a word anew for each part.
    words = jax.lax.optimization_barrier(jax.random.bits(seed, (-(-count // parts),)))
    values = jax.lax.bitcast_convert_type(words, f"uint{bits}")
    return (values >= threshold).reshape(-1)[:count].reshape(shape)


def can_assign(values):
    return in_stateless_scope() or not any(isinstance(value, jax.core.Tracer) for value in values)


def compiles_each_length(jit_compile):
    return True

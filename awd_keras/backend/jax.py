"""Overrides for JAX. XLA already fuses most of what `generic` does, so there are few."""

import ctypes
import functools
import hashlib
import math
import os
import platform
import sys
from pathlib import Path

import jax
import jax.numpy as jnp

from awd_keras.backend.generic import mask_bits
from awd_keras.backend.keras_private import in_stateless_scope
from awd_keras.backend.precision import add_bias, sum_dtype

# Seconds of compiling after which memory is given back. Doing so takes a few milliseconds.
_LONG = 1.0


def _give_back(event, duration, **_):
    """Returns to the system what XLA needed to compile: 150 MiB for a large model, which glibc keeps for the process.

    `jax.monitoring` calls this after each program that is compiled.
    """
    if event == "/jax/core/compile/backend_compile_duration" and duration >= _LONG:
        _trim()


def _trim():
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:  # another C library has other ways
        trim(0)


jax.monitoring.register_event_duration_secs_listener(_give_back)


def device_name() -> str:
    return jax.local_devices()[0].device_kind


def keep_mask(shape, rate, seed):
    """Draws only as many random bits as `mask_bits` returns."""
    bits, threshold = mask_bits(rate)
    count, parts = math.prod(shape), 32 // bits
    # To draw 8 or 16 bits, JAX draws 64. The barrier keeps XLA from drawing a word again for each of its parts.
    words = jax.lax.optimization_barrier(jax.random.bits(seed, (-(-count // parts),)))
    values = jax.lax.bitcast_convert_type(words, f"uint{bits}")
    return (values >= threshold).reshape(-1)[:count].reshape(shape)


def can_assign(values):
    return in_stateless_scope() or not any(isinstance(value, jax.core.Tracer) for value in values)


def compiles_each_length(jit_compile):
    return True


def affine(rows, kernel, bias):
    products = rows @ kernel
    if rows.shape[0] == 1:
        # XLA would fuse the product of one row with the sum, and copy a transposed kernel for it in each call.
        products = jax.lax.optimization_barrier(products)
    return add_bias(products, bias)


def large_vocabulary():
    return 2**13


def linear_cross_entropy(ids, weights, rows, table, bias, chunk, count=None):
    # Parts of equal size, the last of which is padded.
    length = len(rows)
    parts = max(-(-length // chunk), 1)
    size = max(-(-length // parts), 1)
    count = length if count is None else count
    ids, weights, rows = (
        jnp.pad(x, ((0, parts * size - length), *[(0, 0)] * (x.ndim - 1))) for x in (ids, weights, rows)
    )
    total, losses = _linear_cross_entropy(size, count, ids, weights, rows, table, bias)
    return total, jax.lax.stop_gradient(losses)[:length]


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _linear_cross_entropy(size, count, ids, weights, rows, table, bias):
    return _by_parts(size, count, ids, weights, rows, table, bias, differentiated=False)[0]


def _by_parts(size, count, ids, weights, rows, table, bias, *, differentiated, whole=False):
    dtype = sum_dtype(rows.dtype)
    weights = weights.astype(dtype)

    def step(part, sums):
        start = part * size
        h, targets, weight = (jax.lax.dynamic_slice_in_dim(x, start, size) for x in (rows, ids, weights))
        valid = (start + jnp.arange(size)) < count
        logits = (h @ table.T + bias).astype(dtype)
        target_logits = jnp.take_along_axis(logits, targets[:, None], axis=1)[:, 0]
        largest = logits.max(1)
        powers = jnp.exp(logits - largest[:, None])
        sums_of_powers = powers.sum(1)
        part_losses = jnp.where(valid, jnp.log(sums_of_powers) - (target_logits - largest), 0)
        losses, *gradients = sums
        losses = jax.lax.dynamic_update_slice_in_dim(losses, part_losses, start, 0)
        if not differentiated:
            return (losses,)
        d_rows, d_table, d_bias = gradients
        weight = jnp.where(valid, weight, 0)
        is_target = targets[:, None] == jnp.arange(len(table))
        d_logits = powers * (weight / sums_of_powers)[:, None] - jnp.where(is_target, weight[:, None], 0)
        # Sum by a product with ones: for an ordinary sum over rows, XLA computes the gradient again, which takes as
        # long as the products.
        d_bias += jnp.matmul(jnp.ones(size, dtype), d_logits, precision="highest")
        d_logits = d_logits.astype(rows.dtype)
        d_rows = jax.lax.dynamic_update_slice_in_dim(d_rows, (d_logits @ table).astype(dtype), start, 0)
        d_table += d_logits.T @ h
        return losses, d_rows, d_table, d_bias

    sums = [jnp.zeros(len(rows), dtype)]
    if differentiated:
        sums += [jnp.zeros(x.shape, dtype) for x in (rows, table, bias)]
    # JAX differentiates only loops of a fixed length. Rows after `count` add nothing.
    losses, *gradients = jax.lax.fori_loop(0, -(-(len(rows) if whole else count) // size), step, tuple(sums))
    return (weights @ losses, losses), gradients


@_linear_cross_entropy.defjvp
def _linear_cross_entropy_tangents(size, primals, tangents):
    count, ids, *arrays = primals
    (total, losses), gradients = _with_gradients(size, count, ids, *arrays)
    d_total = sum(
        jnp.vdot(gradient, tangent.astype(losses.dtype))
        for gradient, tangent in zip((losses, *gradients), tangents[2:], strict=True)
    )
    return (total, losses), (d_total, jnp.zeros_like(losses))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _with_gradients(size, count, ids, weights, rows, table, bias):
    return _by_parts(size, count, ids, weights, rows, table, bias, differentiated=True)


@_with_gradients.defjvp
def _with_gradients_tangents(size, primals, tangents):
    """For gradients of gradients."""
    count, ids, *arrays = primals

    def whole(*arrays):
        return _by_parts(size, count, ids, *arrays, differentiated=True, whole=True)

    return jax.jvp(whole, arrays, list(tangents[2:]))


def register_structure(cls):
    jax.tree_util.register_pytree_node(
        cls, lambda one: one.parts(), lambda constants, tensors: cls.from_parts(tensors, constants)
    )


def keep_programs():
    """Uses JAX's persistent compilation cache, and keeps the settings that the user has made for it."""
    config = jax.config
    if config.jax_compilation_cache_dir or not config.jax_enable_compilation_cache:
        return
    try:
        directory = _user_cache() / "awd_keras" / f"jax-{_processor()}"
        directory.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # There may be no home directory.
        return  # A failure to keep a program does no harm: it is compiled again.
    if not os.access(directory, os.W_OK):
        return
    config.update("jax_compilation_cache_dir", str(directory))
    # By default JAX doesn't keep programs that compile in less than a second, as most programs of a small model do.
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _processor():
    """A name for this kind of processor, as several may share the user's directory."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = [line for line in file if line.startswith(("flags", "Features"))]
    except OSError:
        lines = [platform.processor()]
    return hashlib.sha256("".join([platform.machine(), *lines[:1]]).encode()).hexdigest()[:12]


def _user_cache():
    """The directory that the user's system has for caches."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    own = os.environ.get("XDG_CACHE_HOME", "")
    # By the XDG Base Directory Specification, a relative path is ignored.
    return Path(own) if os.path.isabs(own) else Path.home() / ".cache"

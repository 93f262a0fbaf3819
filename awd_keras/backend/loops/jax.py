"""Loops on JAX: scans."""

import functools

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

# From how many elements of kernels, and how many steps, transposed kernels pay: 12 MiB in float32.
_CACHED, _STEPS = 3 * 2**20, 16


def loop(step, carry, series, widths, reverse=False):
    return jax.lax.scan(step, carry, series, reverse=reverse)


def by_hand(forward, backward):
    """A derivative in a direction, as `keras.ops.jvp` computes it, is JAX's own derivative of the forward pass."""

    def results_of(*tensors):
        return forward(*tensors)[0]

    @functools.cache
    def derivative(count):
        def by_hand(constants, directions):
            return jax.jvp(results_of, constants[:count], directions)[1]

        def gradients(constants, upstream):
            return backward(constants[:count], constants[count:], upstream)

        return _linear_function(by_hand, gradients)

    run = jax.custom_jvp(results_of)

    @run.defjvp
    def tangents(tensors, directions):
        results, saved = forward(*tensors)
        return results, tuple(derivative(len(tensors))((*tensors, *saved), directions))

    return run


def sigmoid(x):
    """Computed by one pass of tanh, 2 times faster."""
    return jnp.tanh(x * 0.5) * 0.5 + 0.5


def tanh(x):
    """JAX's own, as Keras's computes in float32 whatever the dtype."""
    return jnp.tanh(x)


def products_in_steps(series, *kernels):
    """Eigen reads kernels that don't fit in the cache a third faster as `kernel.T @ rows.T`, transposed beforehand.

    A vector gains nothing, and a few steps don't earn the transposition, which takes as long as one or two of them.
    """
    time, batch_size = series.shape[:2]
    known = isinstance(time, int)  # Keras infers shapes with a symbol for a length that isn't known
    if batch_size == 1 or not known or time < _STEPS or sum(kernel.size for kernel in kernels) < _CACHED:
        return [functools.partial(jnp.matmul, b=kernel) for kernel in kernels]
    # The barrier keeps XLA from transposing it back.
    return [functools.partial(_times_transposed, kernel=jax.lax.optimization_barrier(kernel.T)) for kernel in kernels]


def transposed_products_in_steps(series, *kernels):
    return [functools.partial(_times_transposed, kernel=kernel) for kernel in kernels]


def _times_transposed(rows, kernel):
    """Computes kernel @ rows.T. The barrier keeps XLA from turning it into rows @ kernel.T.

    That takes 1.6 times longer, as Eigen has to transpose the second operand in every time step.
    """
    return jax.lax.optimization_barrier(jnp.einsum("io,bo->ib", kernel, rows)).T


def _linear_function(function, transpose):
    """A function `linear(constants, arguments)`, linear in its arguments, with a hand-written transpose.

    As the derivative of a `jax.custom_jvp`, it gives both gradients and derivatives in a direction, as for
    `keras.ops.jvp`. With `jax.custom_vjp`, JAX refuses the latter.

    Args:
        function: takes two tuples of arrays, the constants and the arguments, and returns a tuple of arrays.
        transpose: takes two tuples, the constants and the gradient of each result, and returns a tuple, the gradients
            of the arguments.
    """
    primitive = Primitive(function.__name__.strip("_"))
    primitive.multiple_results = True

    def flat(*arrays, constants):
        return function(arrays[:constants], arrays[constants:])

    def shapes(*arrays, constants):
        results = jax.eval_shape(functools.partial(flat, constants=constants), *arrays)
        return [jax.core.ShapedArray(result.shape, result.dtype) for result in results]

    def tangents(primals, directions, *, constants):
        directions = tuple(map(ad.instantiate_zeros, directions))
        return jax.jvp(functools.partial(flat, constants=constants), primals, directions)

    def transposed(upstream, *arrays, constants):
        gradients = transpose(arrays[:constants], tuple(map(ad.instantiate_zeros, upstream)))
        asked = map(ad.is_undefined_primal, arrays[constants:])
        return [None] * constants + [g if ask else None for g, ask in zip(gradients, asked, strict=True)]

    def batched(arrays, axes, *, constants):
        results = jax.vmap(functools.partial(flat, constants=constants), axes)(*arrays)
        return results, [0] * len(results)

    primitive.def_impl(jax.jit(flat, static_argnames="constants"))
    primitive.def_abstract_eval(shapes)
    mlir.register_lowering(primitive, mlir.lower_fun(flat, multiple_results=True))
    ad.primitive_jvps[primitive] = tangents
    ad.primitive_transposes[primitive] = transposed
    batching.primitive_batchers[primitive] = batched
    return lambda constants, arguments: primitive.bind(*constants, *arguments, constants=len(constants))

"""Gradients by each framework's own differentiation."""

import keras
import numpy as np

from backends_tests import oracle


def assert_equal_numpy(loss, expected_loss, arrays):
    """Asserts that the loss and its gradients equal those of `expected_loss` in NumPy, by finite differences."""
    value, gradients = differentiated(loss, arrays)
    doubles = [array.astype("float64") for array in arrays]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(value), expected_loss(*doubles), rtol=1e-5, atol=1e-5)
    for actual, expected in zip(gradients, oracle.differences(expected_loss, arrays), strict=True):
        # An element is a sum of terms that may be as large as the largest one, in float32.
        atol = 1e-5 * max(1, np.abs(expected).max())
        np.testing.assert_allclose(keras.ops.convert_to_numpy(actual), expected, rtol=1e-5, atol=atol)


def differentiated(loss, arrays, twice=False):
    """The loss and its gradients; or, `twice`, the gradients of the sum of the gradients' squares."""
    match keras.backend.backend():
        case "jax":
            import jax

            gradients = jax.grad(loss, argnums=range(len(arrays)))
            if not twice:
                return jax.jit(lambda *xs: (loss(*xs), gradients(*xs)))(*arrays)
            squares = jax.grad(lambda *xs: sum((g**2).sum() for g in gradients(*xs)), argnums=range(len(arrays)))
            return jax.jit(squares)(*arrays)
        case "tensorflow":
            import tensorflow as tf

            arrays = [tf.constant(array) for array in arrays]
            with tf.GradientTape() as outer:
                outer.watch(arrays)
                with tf.GradientTape() as inner:
                    inner.watch(arrays)
                    value = loss(*arrays)
                gradients = inner.gradient(value, arrays)
                squares = sum(tf.reduce_sum(g**2) for g in gradients)
            return outer.gradient(squares, arrays) if twice else (value, gradients)
        case "torch":
            import torch

            arrays = [torch.tensor(array, requires_grad=True) for array in arrays]
            value = loss(*arrays)
            gradients = torch.autograd.grad(value, arrays, create_graph=twice)
            if not twice:
                return value, gradients
            return torch.autograd.grad(sum((g**2).sum() for g in gradients), arrays)

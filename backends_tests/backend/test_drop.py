"""Dropped weights and their gradients, against NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras import backend
from backends_tests.backend.differentiated import differentiated

RATE = 0.3


def drawn(rng, *shape):
    return rng.normal(size=shape).astype("float32"), rng.random(shape) > RATE, rng.normal(size=shape).astype("float32")


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4)])
def test_values_and_gradients(rng, shape):
    values, keep, weights = drawn(rng, *shape)

    def loss(x):
        return ops.sum(backend.drop(x, ops.convert_to_tensor(keep), RATE) ** 2 * ops.convert_to_tensor(weights))

    value, (gradients,) = differentiated(loss, [values])
    dropped = np.where(keep, values, 0) / (1 - RATE)
    np.testing.assert_allclose(ops.convert_to_numpy(value), np.sum(dropped**2 * weights), rtol=1e-5)
    expected = 2 * dropped * weights / (1 - RATE)
    np.testing.assert_allclose(ops.convert_to_numpy(gradients), expected, rtol=1e-5, atol=1e-6)


def test_second_order_gradients(rng):
    values, keep, weights = drawn(rng, 3, 4)

    def loss(x):
        return ops.sum(backend.drop(x, ops.convert_to_tensor(keep), RATE) ** 3 * ops.convert_to_tensor(weights))

    (gradients,) = differentiated(loss, [values], twice=True)
    scale = keep / (1 - RATE)
    # The gradient is 3 w s³x², the gradient of its square's sum 36 w² s⁶ x³.
    np.testing.assert_allclose(ops.convert_to_numpy(gradients), 36 * weights**2 * scale**6 * values**3, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_dtype(rng, dtype):
    values, keep, _ = drawn(rng, 3, 4)
    dropped = backend.drop(ops.cast(values, dtype), ops.convert_to_tensor(keep), 0.5)
    assert keras.backend.standardize_dtype(dropped.dtype) == dtype
    expected = np.where(keep, ops.convert_to_numpy(ops.cast(ops.cast(values, dtype), "float32")), 0) * 2
    np.testing.assert_array_equal(ops.convert_to_numpy(ops.cast(dropped, "float32")), expected)

"""`weighted_sums`, compared with a loop in NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras.backend import weighted_sums
from backends_tests.backend.differentiated import differentiated
from backends_tests.oracle import differences

BATCH, UNITS = 2, 3


def drawn(time, seed=0):
    rng = np.random.default_rng(seed)
    forget, addends, direction = (rng.normal(size=(BATCH, time, UNITS)).astype("float32") for _ in range(3))
    return [forget, addends, rng.normal(size=(BATCH, UNITS)).astype("float32")], direction


def loop(forget, addends, c):
    sums = []
    for t in range(forget.shape[1]):
        c = forget[:, t] * c + addends[:, t]
        sums.append(c)
    return np.stack(sums, axis=1)


# A single step; whole blocks; a padded block.
@pytest.mark.parametrize("time", [1, 4, 11])
def test_equals_a_loop_in_numpy(time):
    arrays, direction = drawn(time)

    def loss(*xs):
        return ops.sum(weighted_sums(*xs) * ops.convert_to_tensor(direction))

    value, gradients = differentiated(loss, arrays)
    np.testing.assert_allclose(ops.convert_to_numpy(value), np.sum(loop(*arrays) * direction), rtol=1e-5, atol=1e-5)
    expected = differences(lambda *xs: np.sum(loop(*xs) * direction), arrays)
    for actual, gradient in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(actual), gradient, atol=1e-5, rtol=1e-5)


def test_second_order_gradients():
    """The gradients of the sum of the gradients' squares. In NumPy, the gradients are a reverse loop."""
    arrays, direction = drawn(5)

    def squares(forget, addends, c):
        d_addends = np.zeros_like(forget)
        d = 0
        for t in reversed(range(forget.shape[1])):
            d_addends[:, t] = d = direction[:, t] + (0 if t == forget.shape[1] - 1 else forget[:, t + 1] * d)
        earlier = np.concatenate([c[:, None], loop(forget, addends, c)[:, :-1]], axis=1)
        gradients = (d_addends * earlier, d_addends, forget[:, 0] * d_addends[:, 0])
        return sum(np.sum(gradient**2) for gradient in gradients)

    def loss(*xs):
        return ops.sum(weighted_sums(*xs) * ops.convert_to_tensor(direction))

    for actual, expected in zip(differentiated(loss, arrays, twice=True), differences(squares, arrays), strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(actual), expected, atol=1e-3, rtol=1e-4)


if keras.backend.backend() == "tensorflow":

    def test_a_length_that_the_graph_does_not_know():
        import tensorflow as tf

        def signature(*shape):
            return tf.TensorSpec(shape, "float32")

        series = signature(BATCH, None, UNITS)

        @tf.function(input_signature=[series, series, signature(BATCH, UNITS), series])
        def gradients(forget, addends, c, direction):
            with tf.GradientTape() as tape:
                tape.watch([forget, addends, c])
                sums = weighted_sums(forget, addends, c)
            return sums, tape.gradient(sums, [forget, addends, c], direction)

        for time in (1, 8, 13):
            arrays, direction = drawn(time)
            sums, actual = gradients(*arrays, direction)
            np.testing.assert_allclose(sums, loop(*arrays), atol=1e-5)
            for a, e in zip(actual, differences(lambda *xs, d=direction: np.sum(loop(*xs) * d), arrays), strict=True):
                np.testing.assert_allclose(a, e, atol=1e-4)

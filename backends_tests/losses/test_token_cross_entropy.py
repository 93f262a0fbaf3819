import keras
import numpy as np
import pytest

from awd_keras.losses import TokenCrossEntropy
from awd_keras.losses.token_cross_entropy import DeferredLogits
from backends_tests import oracle


def example(rng):
    y = rng.integers(0, 9, (2, 5))
    logits = rng.normal(size=(2, 5, 9)).astype("float32")
    return y, logits, -np.take_along_axis(oracle.log_softmax(logits), y[..., None], axis=-1)[..., 0]


def test_equals_numpy(rng):
    y, logits, losses = example(rng)
    assert float(TokenCrossEntropy()(y, logits)) == pytest.approx(losses.mean(), rel=1e-5)
    each = TokenCrossEntropy(reduction="none")(y, logits)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(each), losses, rtol=1e-5)


def test_sample_weight(rng):
    y, logits, losses = example(rng)
    weights = rng.random((2, 5)).astype("float32")
    value = float(TokenCrossEntropy()(y, logits, sample_weight=weights))
    assert value == pytest.approx((weights * losses).mean(), rel=1e-5)


def test_padding_is_left_out(rng):
    x = np.array([[3, 2, 0], [5, 0, 0]])
    logits = keras.layers.Embedding(9, 9, mask_zero=True)(x)
    plain = keras.ops.convert_to_numpy(logits)
    y = rng.integers(0, 9, x.shape)
    losses = -np.take_along_axis(oracle.log_softmax(plain), y[..., None], axis=-1)[..., 0]
    value = float(keras.ops.convert_to_numpy(TokenCrossEntropy()(y, logits)))
    assert value == pytest.approx(losses[x > 0].mean(), rel=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_softmax_of_16_bits_is_taken_in_float32(rng, dtype):
    """The softmax of the given logits, which are rounded to 16 bits."""
    y, logits, _ = example(rng)
    rounded = keras.ops.cast(logits, dtype)
    exact = keras.ops.convert_to_numpy(keras.ops.cast(rounded, "float32"))
    losses = -np.take_along_axis(oracle.log_softmax(exact), y[..., None], axis=-1)[..., 0]
    each = TokenCrossEntropy(reduction="none")(y, rounded)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(each), losses, rtol=1e-5)


def test_gradient(rng):
    """One step of SGD changes logits by the softmax minus the target."""
    y, logits, _ = example(rng)
    embedding = keras.layers.Embedding(2 * 5, 9)
    embedding.build()
    embedding.embeddings.assign(logits.reshape(10, 9))
    model = keras.Sequential([embedding])
    model.compile(keras.optimizers.SGD(1.0), TokenCrossEntropy())
    model.train_on_batch(np.arange(10).reshape(2, 5), y)
    change = logits - keras.ops.convert_to_numpy(embedding.embeddings).reshape(logits.shape)
    expected = (np.exp(oracle.log_softmax(logits)) - np.eye(9)[y]) / 10
    np.testing.assert_allclose(change, expected, atol=1e-6)


@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size", "mean_with_sample_weight"])
def test_logits_that_nobody_has_computed(rng, reduction):
    """With weights for tokens or for rows, some of them zero, and without weights."""
    y, h, table = rng.integers(0, 9, (2, 5)), rng.normal(size=(2, 5, 3)), rng.normal(size=(9, 3))
    losses = -np.take_along_axis(oracle.log_softmax(h @ table.T + 0.5), y[..., None], axis=-1)[..., 0]
    arrays = [array.astype("float32") for array in (h, table, np.full(9, 0.5))]
    weights = rng.random((2, 5)).astype("float32")
    weights[0, 2] = 0
    for weight in (None, weights, weights[:, :1]):
        deferred = DeferredLogits(keras.ops.convert_to_tensor(arrays[0]), *arrays[1:])
        value = float(TokenCrossEntropy(reduction=reduction)(y, deferred, sample_weight=weight))
        spread = np.ones((2, 5)) if weight is None else np.broadcast_to(weight, (2, 5))
        divisor = {"sum": 1, "sum_over_batch_size": 10, "mean_with_sample_weight": spread.sum()}[reduction]
        assert value == pytest.approx((losses * spread).sum() / divisor, rel=1e-5)
        np.testing.assert_allclose(keras.ops.convert_to_numpy(deferred.losses(y)), losses, rtol=1e-5)

"""The cross-entropy is right, and a step computes it only once."""

import keras
import numpy as np
from keras import ops

from awd_keras import backend
from awd_keras.losses import TokenCrossEntropy
from awd_keras.metrics import Perplexity
from backends_tests import oracle
from backends_tests.backend.differentiated import differentiated


def example(rng):
    y = rng.integers(0, 7, 5)
    logits = rng.normal(size=(5, 7)).astype("float32")
    return y, logits, np.eye(7)[y]


def test_gradients_equal_numpy(rng):
    """The gradient is the softmax minus the target; the second derivative follows from the softmax's Jacobian."""
    y, logits, targets = example(rng)
    directions = rng.normal(size=5).astype("float32")

    def loss(logits):
        losses = backend.cross_entropy(ops.convert_to_tensor(y, "int32"), logits)
        return ops.sum(losses * ops.convert_to_tensor(directions))

    p = np.exp(oracle.log_softmax(logits))
    gradient = (p - targets) * directions[:, None]
    value, [actual] = differentiated(loss, [logits])
    expected = -(oracle.log_softmax(logits) * targets).sum(-1) @ directions
    np.testing.assert_allclose(ops.convert_to_numpy(value), expected, rtol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(actual), gradient, atol=1e-6)

    jacobian = p[:, :, None] * (np.eye(7) - p[:, None, :]) * directions[:, None, None]
    [actual] = differentiated(loss, [logits], twice=True)
    np.testing.assert_allclose(ops.convert_to_numpy(actual), 2 * np.einsum("tij,tj->ti", jacobian, gradient), atol=1e-5)


def test_logits_far_apart_overflow_nothing():
    y, logits = np.array([0, 1], "int32"), np.array([[1e4, -1e4], [1e4, -1e4]], "float32")
    losses = backend.cross_entropy(ops.convert_to_tensor(y), ops.convert_to_tensor(logits))
    np.testing.assert_allclose(ops.convert_to_numpy(losses), [0, 2e4])


def calls_in_a_step(monkeypatch, metrics):
    """How often the cross-entropy is computed in an evaluation of one window."""
    model = keras.Sequential([keras.layers.Embedding(9, 9)])
    model.compile(loss=TokenCrossEntropy(), metrics=metrics, run_eagerly=True)
    x = np.arange(6).reshape(1, 6)
    model.evaluate(x, x, verbose=0)  # builds
    calls = []
    real = backend.cross_entropy
    with monkeypatch.context() as patch:
        patch.setattr(backend, "cross_entropy", lambda *args: calls.append(args) or real(*args))
        model.evaluate(x, x, verbose=0)
    return len(calls)


def test_a_step_takes_it_once(monkeypatch):
    alone, shown = calls_in_a_step(monkeypatch, []), calls_in_a_step(monkeypatch, [Perplexity()])
    # On JAX the program has the second one too, and XLA removes it.
    assert (alone, shown) == (1, 2 if keras.backend.backend() == "jax" else 1)


def test_what_is_kept_is_of_these_tensors_alone(rng):
    y, logits, targets = example(rng)
    log_p = oracle.log_softmax(logits)
    expected = np.exp(-(log_p * targets).sum(-1).mean())

    def perplexity(y, logits):
        metric = Perplexity()
        metric.update_state(y, logits)
        return float(metric.result())

    logits_tensor, y_tensor = ops.convert_to_tensor(logits), ops.convert_to_tensor(y)
    TokenCrossEntropy()(y_tensor, logits_tensor)
    np.testing.assert_allclose(perplexity(y_tensor, logits_tensor), expected, rtol=1e-5)
    # Nothing is kept for other targets, nor for other logits.
    other = ops.convert_to_tensor((y + 1) % 7)
    np.testing.assert_allclose(
        perplexity(other, logits_tensor), np.exp(-(log_p * np.roll(targets, 1, axis=1)).sum(-1).mean()), rtol=1e-5
    )
    np.testing.assert_allclose(perplexity(y_tensor, logits_tensor * 0), 7, rtol=1e-5)
    # Nor after their values have changed, as PyTorch's tensors can.
    if keras.backend.backend() == "torch":
        logits_tensor.zero_()
        np.testing.assert_allclose(perplexity(y_tensor, logits_tensor), 7, rtol=1e-5)

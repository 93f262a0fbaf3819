import keras
import numpy as np
import pytest

from awd_keras.metrics import BitsPerCharacter, MeanCrossEntropy, Perplexity
from backends_tests import oracle


def cross_entropies(y, logits):
    return -np.take_along_axis(oracle.log_softmax(logits), y[..., None], axis=-1)[..., 0]


def batches(rng):
    for time in (5, 3):
        yield rng.integers(0, 9, (2, time)), rng.normal(size=(2, time, 9)).astype("float32")


@pytest.mark.parametrize(
    ("cls", "function"),
    [(MeanCrossEntropy, float), (Perplexity, np.exp), (BitsPerCharacter, lambda x: x / np.log(2))],
)
def test_every_token_counts_once(rng, cls, function):
    metric, losses = cls(), []
    for y, logits in batches(rng):
        metric.update_state(y, logits)
        losses += cross_entropies(y, logits).ravel().tolist()
    assert float(metric.result()) == pytest.approx(function(np.mean(losses)), rel=1e-5)
    metric.reset_state()
    assert float(metric.variables[0]) == 0


@pytest.mark.parametrize("cls", [Perplexity, BitsPerCharacter])
def test_sample_weight(rng, cls):
    ((y, logits), _) = batches(rng)
    weights = np.array([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0]], "float32")
    metric, other = cls(), cls()
    metric.update_state(y, logits, sample_weight=weights)
    other.update_state(y[weights > 0][None], logits[weights > 0][None])
    assert float(metric.result()) == pytest.approx(float(other.result()), rel=1e-5)


def test_one_weight_for_each_row(rng):
    """As for Keras's metrics: not spread along time, where as many rows as time steps would hide it."""
    y, logits = rng.integers(0, 9, (3, 3)), rng.normal(size=(3, 3, 9)).astype("float32")
    metric = MeanCrossEntropy()
    metric.update_state(y, logits, sample_weight=np.array([1.0, 2.0, 5.0]))
    losses = cross_entropies(y, logits).mean(axis=1)
    assert float(metric.result()) == pytest.approx(np.average(losses, weights=[1, 2, 5]), rel=1e-5)


def test_penalties_are_left_out(rng):
    model = keras.Sequential([keras.layers.Dense(9, activity_regularizer=keras.regularizers.L2(10.0))])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=[Perplexity()])
    x, y = rng.normal(size=(4, 5, 3)).astype("float32"), rng.integers(0, 9, (4, 5))
    result = model.evaluate(x, y, return_dict=True, verbose=0)
    expected = np.exp(cross_entropies(y, model.predict(x, verbose=0)).mean())
    assert result["perplexity"] == pytest.approx(expected, rel=1e-5)
    assert result["loss"] > np.log(expected) + 1


@pytest.mark.parametrize("cls", [Perplexity, BitsPerCharacter])
def test_padding_is_left_out(rng, cls):
    embedding = keras.layers.Embedding(9, 9, mask_zero=True)
    x = np.array([[3, 2, 0], [5, 0, 0]])
    y = rng.integers(0, 9, x.shape)
    metric, other = cls(), cls()
    metric.update_state(y, embedding(x))
    other.update_state(y, embedding(x), sample_weight=x > 0)
    without = cls()
    without.update_state(y, keras.ops.convert_to_numpy(embedding(x)), sample_weight=x > 0)
    assert float(metric.result()) == pytest.approx(float(without.result()), rel=1e-6)
    assert float(other.result()) == pytest.approx(float(without.result()), rel=1e-6)

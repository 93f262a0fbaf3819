import math

import numpy as np
import pytest

from awd_keras.data import BPTTDataset
from awd_keras.evaluation import dynamic_perplexity, gradient_rms, perplexity
from backends_tests import oracle
from backends_tests.evaluation.small_model import WORDS, everything, make_bigrams, make_model, make_text, values

BPTT = 5


def slow_rms(weights, text, rows):
    """The root mean squares of the gradients, in NumPy and float64."""
    model = oracle.AWDLSTM(weights, rows)
    length = (len(text) - 1) // rows
    x, y = text[: rows * length].reshape(rows, length), text[1 : rows * length + 1].reshape(rows, length)
    windows = [slice(start, start + BPTT) for start in range(0, length, BPTT)]
    gradients = [model.loss_and_gradients(x[:, window], y[:, window])[2] for window in windows]
    return [np.sqrt(np.mean(np.square(each), axis=0)) for each in zip(*gradients, strict=True)]


def slow_nats(weights, text, rms, learning_rate, decay, epsilon):
    """The mean cross-entropy under dynamic evaluation, in NumPy and float64."""
    model = oracle.AWDLSTM(weights, 1)
    begun = model.weights
    mean = np.mean(np.concatenate([r.reshape(-1) for r in rms]))
    nats = 0.0
    for start in range(0, len(text) - 1, BPTT):
        y = text[None, start + 1 : start + 1 + BPTT]
        _, loss, gradients = model.loss_and_gradients(text[None, start : start + BPTT][:, : y.size], y)
        nats += loss * y.size
        model.weights = [
            w + np.minimum(1, decay * r / mean) * (w0 - w) - learning_rate * g / (r + epsilon)
            for w, w0, r, g in zip(model.weights, begun, rms, gradients, strict=True)
        ]
    return nats / (len(text) - 1)


def test_statistics_equal_numpy():
    model, text = make_model(), make_text(47)
    rms = gradient_rms(model, text, batch_size=2, bptt=BPTT)  # 23 targets a row, the last 3 in a short window
    for actual, expected in zip(rms, slow_rms(values(model.trainable_variables), text, 2), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-7)


# The largest rms is 11 times the mean: a decay of 0.4 takes such weights back to their initial values, not beyond.
@pytest.mark.parametrize(("learning_rate", "decay", "epsilon"), [(3e-3, 0.0, 2e-5), (3e-2, 0.4, 1e-2)])
def test_equals_numpy(learning_rate, decay, epsilon):
    model, text = make_model(), make_text(73)
    weights = values(model.trainable_variables)
    rms = slow_rms(weights, text, 1)
    expected = slow_nats(weights, text, rms, learning_rate, decay, epsilon)
    rms = [r.astype("float32") for r in rms]
    score = dynamic_perplexity(model, text, learning_rate, decay, rms=rms, epsilon=epsilon, bptt=BPTT)
    assert score.loss == pytest.approx(expected, rel=1e-5)
    assert score.perplexity == pytest.approx(math.exp(expected), rel=1e-4)
    assert score.tokens == 72
    assert score.seconds > 0
    # The model has learnt, and the decay matters.
    assert score.loss < slow_nats(weights, text, rms, 0.0, 0.0, epsilon) - 1e-2
    if decay:
        assert abs(expected - slow_nats(weights, text, rms, learning_rate, 0.0, epsilon)) > 1e-3


def test_a_users_model(rng):
    """A word that occurs twice in a window counts once, though on TensorFlow its gradient has two rows."""
    model, text = make_bigrams(rng), np.array([3, 4, 3, 5, 3, 3, 4, 3, 5, 3, 4], "int32")
    table = model.get_weights()[0].astype("float64")

    def gradient(table, window):
        x, y = text[window], text[window.start + 1 : window.stop + 1]
        log_p = oracle.log_softmax(table[x])
        result = np.zeros_like(table)
        np.add.at(result, x, (np.exp(log_p) - np.eye(WORDS)[y]) / BPTT)
        return -np.mean(log_p[np.arange(BPTT), y]), result

    windows = (slice(0, 5), slice(5, 10))
    rms = gradient_rms(model, text, batch_size=1, bptt=BPTT)
    expected = np.sqrt(np.mean([gradient(table, window)[1] ** 2 for window in windows], axis=0))
    np.testing.assert_allclose(rms[0], expected, rtol=1e-5, atol=1e-7)

    first, step = gradient(table, windows[0])
    second, _ = gradient(table - 0.01 * step / (expected + 1e-3), windows[1])
    score = dynamic_perplexity(model, text, 0.01, 0.0, rms=rms, epsilon=1e-3, bptt=BPTT)
    assert score.loss == pytest.approx((first + second) / 2, rel=1e-5)


def test_without_steps_it_is_plain():
    model, text = make_model(alpha=50.0, beta=50.0), make_text(73)
    model.predict_on_batch(text[None, :7])  # leaves a state that doesn't belong to the text
    rms = [np.ones_like(value) for value in values(model.trainable_variables)]
    loss = dynamic_perplexity(model, text, 0.0, 0.0, rms=rms, bptt=BPTT).loss
    assert loss == pytest.approx(perplexity(model, text, bptt=BPTT).loss, rel=1e-6)


def trained_model():
    model, text = make_model(), make_text(73)
    model.compile()
    model.train_on_batch(text[None, :20], text[None, 1:21])
    return model, text


def test_leaves_the_model_as_it_is():
    model, text = trained_model()
    optimizer, before = model.optimizer, [*values(model.variables), *everything(model)]
    rms = gradient_rms(model, text, batch_size=1, bptt=BPTT)
    losses = {dynamic_perplexity(model, text, 1e-3, rms=rms, bptt=BPTT).loss for _ in range(2)}
    assert len(losses) == 1
    for old, new in zip(before, [*values(model.variables), *everything(model)], strict=True):
        np.testing.assert_array_equal(old, new)
    assert model.optimizer is optimizer
    model.train_on_batch(text[None, :20], text[None, 1:21])


@pytest.mark.once
def test_an_interruption_leaves_the_model_as_it_is(monkeypatch):
    model, text = trained_model()
    before, trained = [*values(model.variables), *everything(model)], values(model.trainable_variables)
    rms = [np.ones_like(value) for value in values(model.trainable_variables)]
    changed = []

    window = BPTTDataset.__getitem__

    def interrupted(self, index):
        if index == 4:
            now = values(model.trainable_variables)
            changed.extend(not np.array_equal(a, b) for a, b in zip(now, trained, strict=True))
            raise KeyboardInterrupt("stop")
        return window(self, index)

    monkeypatch.setattr(BPTTDataset, "__getitem__", interrupted)
    with pytest.raises(KeyboardInterrupt, match="stop"):
        dynamic_perplexity(model, text, 1e-3, rms=rms, bptt=BPTT)
    assert changed
    assert all(changed)
    for old, new in zip(before, [*values(model.variables), *everything(model)], strict=True):
        np.testing.assert_array_equal(old, new)
    assert np.isfinite(perplexity(model, text).loss)
    model.train_on_batch(text[None, :20], text[None, 1:21])


def ones():
    return [np.ones_like(value) for value in values(make_model().trainable_variables)]


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": -1.0}, "`learning_rate` must be a number of at least 0. Received: learning_rate=-1.0"),
        ({"decay": math.inf}, "`decay` must be a number of at least 0. Received: decay=inf"),
        ({"epsilon": 0.0}, "`epsilon` must be a positive number. Received: epsilon=0.0"),
        ({"bptt": 0}, "`bptt` must be a positive integer. Received: bptt=0"),
        ({"tokens": np.array([0, WORDS])}, r"`tokens` must hold ids in \[0, 30\).*from 0 to 30"),
        ({"rms": ones()[:-1]}, r"`rms` must be what `gradient_rms` gives.*\[\(30, 12\), .* Received: .*\(30, 12\)"),
        ({"rms": [-one for one in ones()]}, r"`rms` must hold finite numbers of at least 0.*from -1.0 to -1.0"),
        ({"rms": [0 * one for one in ones()]}, "not zeros alone. Received: arrays from 0.0 to 0.0"),
        ({"rms": [math.nan * one for one in ones()]}, "`rms` must hold finite numbers.*from nan to nan"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        dynamic_perplexity(make_model(), **{"tokens": make_text(9), "rms": ones(), **arguments})


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be a positive integer. Received: batch_size=0"),
        ({"bptt": 2.0}, "`bptt` must be a positive integer. Received: bptt=2.0"),
        ({"tokens": np.zeros(9)}, "`tokens` must be a 1-D array.*float64"),
    ],
)
def test_bad_arguments_of_the_statistics(arguments, message):
    with pytest.raises(ValueError, match=message):
        gradient_rms(make_model(), **{"tokens": make_text(9), **arguments})

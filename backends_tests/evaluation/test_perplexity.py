import math

import keras
import numpy as np
import pytest

from awd_keras.callbacks import awd_lstm
from awd_keras.data import BPTTDataset
from awd_keras.evaluation import gradient_rms, perplexity
from awd_keras.layers import WeightDropGRU, WeightDropLSTM
from backends_tests.evaluation.small_model import WORDS, everything, make_bigrams, make_model


@pytest.fixture
def tokens(rng):
    return rng.integers(WORDS, size=95).astype("int32")


def nats(model, tokens, batch_size):
    """The mean cross-entropy in NumPy, from the logits of one call on whole rows."""
    length = (len(tokens) - 1) // batch_size
    x = tokens[: length * batch_size].reshape(batch_size, length)
    y = tokens[1 : length * batch_size + 1].reshape(batch_size, length)
    for lstm in model.lstms:
        lstm.reset_inference_state()
    logits = keras.ops.convert_to_numpy(model(x, training=False)).astype("float64")
    logits -= logits.max(axis=-1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return -np.mean(np.take_along_axis(log_p, y[..., None], axis=-1)), y.size


# 94 targets: windows of 7 leave a short one, whose tokens must count like all others.
@pytest.mark.parametrize(("batch_size", "bptt"), [(1, 7), (1, 200), (4, 10)])
def test_equals_numpy(tokens, batch_size, bptt):
    model = make_model()
    score = perplexity(model, tokens, batch_size=batch_size, bptt=bptt)
    loss, count = nats(model, tokens, batch_size)
    assert score.tokens == count
    assert score.loss == pytest.approx(loss, rel=1e-5)
    assert score.perplexity == pytest.approx(math.exp(loss), rel=1e-4)
    assert score.bits_per_token == pytest.approx(loss / math.log(2), rel=1e-5)
    assert score.seconds > 0


def test_starts_from_zero_state(tokens):
    model = make_model()
    first = perplexity(model, tokens, batch_size=2, bptt=20)
    assert perplexity(model, tokens, batch_size=2, bptt=20).loss == first.loss


def test_leaves_the_model_as_it_is(tokens):
    model = make_model()
    model.compile()
    dataset = BPTTDataset(tokens, batch_size=4, bptt=23, variable=False)
    model.fit(dataset, validation_data=dataset, callbacks=awd_lstm(dataset), verbose=0)
    optimizer, metrics = model.optimizer, [metric.name for metric in model.metrics]

    before = everything(model)
    perplexity(model, tokens, batch_size=2, bptt=20)
    for old, new in zip(before, everything(model), strict=True):
        np.testing.assert_array_equal(old, new)
    assert model.optimizer is optimizer
    assert [metric.name for metric in model.metrics] == metrics
    # The model can be trained further, with validation.
    history = model.fit(dataset, validation_data=dataset, callbacks=awd_lstm(dataset), verbose=0)
    assert np.isfinite(history.history["val_perplexity"]).all()


def test_needs_no_compiled_model(tokens, tmp_path):
    model = make_model()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    expected = perplexity(model, tokens, bptt=20).loss
    assert perplexity(loaded, tokens, bptt=20).loss == pytest.approx(expected, rel=1e-6)


def test_the_logits_of_a_model_with_hidden_states(tokens, rng):
    model = make_bigrams(rng)
    logits = model.get_weights()[0][tokens[:-1]].astype("float64")
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    expected = -np.mean(log_p[np.arange(94), tokens[1:]])
    assert perplexity(model, tokens, bptt=94).loss == pytest.approx(expected, rel=1e-5)


def test_penalties_are_excluded(tokens):
    plain = perplexity(make_model(alpha=0.0, beta=0.0), tokens, bptt=20)
    penalized = perplexity(make_model(alpha=50.0, beta=50.0), tokens, bptt=20)
    assert penalized.loss == pytest.approx(plain.loss, rel=1e-6)


@pytest.mark.once
@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (np.zeros((2, 9), "int32"), r"`tokens` must be a 1-D array.*\(2, 9\)"),
        (np.zeros(9), "`tokens` must be a 1-D array.*float64"),
        (np.array([0, WORDS] * 9), r"ids in \[0, 30\).*from 0 to 30"),
        (np.array([0, -1] * 9), r"ids in \[0, 30\).*from -1 to 0"),
        (np.zeros(1, "int32"), "too short"),
    ],
)
def test_bad_tokens(tokens, message):
    with pytest.raises(ValueError, match=message):
        perplexity(make_model(), tokens)


@pytest.mark.once
def test_more_rows_than_the_model_was_built_for():
    """Said by argument, as in `evaluate`: the layer that finds out knows no argument."""
    model = make_model(batch_size=1)
    tokens = np.arange(200) % WORDS
    message = r"`batch_size` must be at most the one that the model was built for, 1\..*batches of 2 rows"
    for read in (perplexity, gradient_rms):
        with pytest.raises(ValueError, match=message):
            read(model, tokens, batch_size=2)


@pytest.mark.once
@pytest.mark.parametrize(
    ("layer", "state"),
    [(keras.layers.LSTM, {"stateful": True}), (WeightDropLSTM, {}), (WeightDropGRU, {"stateful": False})],
)
def test_a_state_that_is_not_carried_or_not_known(layer, state):
    """The first window would be right, the others wrong without a word."""
    layers = [keras.layers.Embedding(WORDS, 4), layer(5, return_sequences=True, **state), keras.layers.Dense(WORDS)]
    model = keras.Sequential([keras.Input((None,), batch_size=1, dtype="int32"), *layers])
    with pytest.raises(ValueError, match=f"`model` must have recurrent layers of .*{layer.__name__} of stateful"):
        perplexity(model, np.arange(40) % WORDS)

import math

import keras
import numpy as np
import pytest

from awd_keras.evaluation import cache_perplexity, perplexity
from awd_keras.evaluation.cache import ContinuousCache
from awd_keras.evaluation.perplexity import Window
from backends_tests import oracle
from backends_tests.evaluation.small_model import WORDS, everything, make_bigrams, make_model, make_text, values
from backends_tests.helpers import once


def slow_nats(logits, hidden_states, words, window, interpolation, theta, wait_until_full):
    """The cache as in the paper: token by token, with a distribution over the whole vocabulary."""
    nats = []
    for t, word in enumerate(words):
        p = np.exp(oracle.log_softmax(logits[t]))
        first = max(0, t - window)
        if t >= (window if wait_until_full else 1):
            weights = np.exp(oracle.log_softmax(theta * hidden_states[first:t] @ hidden_states[t]))
            cache = np.zeros(len(p))
            for weight, follower in zip(weights, words[first:t], strict=True):
                cache[follower] += weight
            p = (1 - interpolation) * p + interpolation * cache
        nats.append(-np.log(p[word]))
    return nats


# 60 targets: windows of 25 leave a short one.
@pytest.mark.parametrize(
    ("window", "interpolation", "theta", "wait_until_full", "bptt"),
    [
        *once((7, 0.3, 0.5, False, 25)),  # an entry is forgotten within one window of the text
        *once((37, 0.3, 1.0, False, 20)),  # an entry lasts for more than one window
        (37, 0.3, 1.0, True, 20),
        *once((200, 0.9, 2.0, False, 20)),  # longer than the text
    ],
)
def test_equals_a_slow_cache_in_numpy(window, interpolation, theta, wait_until_full, bptt):
    model, text = make_model(), make_text(61)
    logits, inputs, _ = oracle.AWDLSTM(values(model.trainable_variables), 1).forward(text[None, :-1])
    expected = slow_nats(logits[0], inputs[-1][0], text[1:], window, interpolation, theta, wait_until_full)
    score = cache_perplexity(model, text, window, interpolation, theta, wait_until_full, bptt)
    assert score.loss == pytest.approx(np.mean(expected), rel=1e-5)
    assert score.perplexity == pytest.approx(math.exp(np.mean(expected)), rel=1e-4)
    assert score.bits_per_token == pytest.approx(np.mean(expected) / math.log(2), rel=1e-5)
    assert score.tokens == 60
    assert score.seconds > 0
    # The cache matters in this text, or the comparison would mean little.
    plain = slow_nats(logits[0], inputs[-1][0], text[1:], window, 0.0, theta, wait_until_full)
    assert abs(np.mean(expected) - np.mean(plain)) > 1e-2


def test_a_users_model(rng):
    model, text = make_bigrams(rng), make_text(61)
    rows = model.get_weights()[0].astype("float64")[text[:-1]]
    expected = slow_nats(rows, rows, text[1:], 20, 0.3, 0.2, False)
    score = cache_perplexity(model, text, window=20, interpolation=0.3, theta=0.2, bptt=20)
    assert score.loss == pytest.approx(np.mean(expected), rel=1e-5)


def test_no_share_is_no_cache():
    model, text = make_model(), make_text(61)
    score = cache_perplexity(model, text, window=20, interpolation=0, bptt=20)
    assert score.loss == pytest.approx(perplexity(model, text, bptt=20).loss, rel=1e-6)


def test_probabilities_far_apart(rng):
    """With a large theta, the probabilities of the next words are below float32's range."""
    states, words = rng.normal(size=(60, 4)).astype("float32"), make_text(60)
    cache = ContinuousCache(make_model(), window=20, theta=200.0)
    found = [cache.log_probabilities(Window(words[part], None, states[part])) for part in (slice(0, 40), slice(40, 60))]
    found = np.concatenate(found)
    scores = 200.0 * states.astype("float64") @ states.T.astype("float64")
    never = 0
    for t in range(1, 60):
        seen = np.arange(max(0, t - 20), t)
        log_p = oracle.log_softmax(scores[t, seen])[words[seen] == words[t]]
        if len(log_p):
            expected = np.log(np.exp(log_p - log_p.max()).sum()) + log_p.max()
            assert found[t] == pytest.approx(expected, rel=1e-4, abs=1e-3)
        else:
            assert found[t] == -np.inf
            never += 1
    assert 0 < never < 30
    assert np.min(found[np.isfinite(found)]) < -200


def test_memory_has_nothing_of_the_vocabulary():
    cache = ContinuousCache(make_model(), window=20, theta=1.0)
    cache.log_probabilities(Window(np.arange(3, dtype="int32"), None, np.ones((3, 4), "float32")))
    held = [value for value in vars(cache).values() if hasattr(value, "shape")]
    assert sorted(tuple(value.shape) for value in held) == [(), (20,), (20, 4)]


def test_starts_anew_and_leaves_the_model_as_it_is():
    model, text = make_model(), make_text(61)
    model.compile()
    model.train_on_batch(text[None, :20], text[None, 1:21])
    optimizer, before = model.optimizer, everything(model)
    losses = {cache_perplexity(model, text, window=20, bptt=20).loss for _ in range(2)}
    assert len(losses) == 1
    for old, new in zip(before, everything(model), strict=True):
        np.testing.assert_array_equal(old, new)
    assert model.optimizer is optimizer
    model.train_on_batch(text[None, :20], text[None, 1:21])


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": 0}, "`window` must be a positive integer. Received: window=0"),
        ({"interpolation": 1.0}, r"`interpolation` must be a number in \[0, 1\). Received: interpolation=1.0"),
        ({"theta": 1e39}, r"`theta` must be at most 1e\+30. Received: theta=1e\+39"),
        ({"theta": -1.0}, "`theta` must be a number of at least 0. Received: theta=-1.0"),
        ({"theta": math.nan}, "`theta` must be a number of at least 0. Received: theta=nan"),
        ({"wait_until_full": 1}, "`wait_until_full` must be a boolean. Received: wait_until_full=1"),
        ({"bptt": 0}, "`bptt` must be a positive integer. Received: bptt=0"),
        ({"tokens": np.zeros(9)}, "`tokens` must be a 1-D array.*float64"),
        ({"tokens": np.array([0, WORDS])}, r"`tokens` must hold ids in \[0, 30\).*from 0 to 30"),
        ({"tokens": np.zeros(1, "int32")}, "too short"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        cache_perplexity(make_model(), **{"tokens": make_text(9), **arguments})


def test_a_model_without_hidden_states():
    model = keras.Sequential([keras.Input((None,), dtype="int32"), keras.layers.Embedding(WORDS, WORDS)])
    with pytest.raises(ValueError, match="`model` must take `return_hidden_states=True`.* Received: <Sequential"):
        cache_perplexity(model, make_text(9))

import math

import numpy as np
import pytest

from awd_keras.generation.sampling import draw, keep_top_k, keep_top_p, probabilities

LOGITS = np.random.default_rng(0).normal(scale=3.0, size=12).astype("float32")


def oracle(logits, temperature=1.0, top_k=None, top_p=None):
    """The probabilities that words are drawn with, by plain loops."""
    weights = [math.exp((float(x) - float(max(logits))) / temperature) for x in logits]
    p = [weight / sum(weights) for weight in weights]
    ranked = sorted(range(len(p)), key=lambda word: -p[word])
    kept = ranked if top_k is None else ranked[:top_k]
    if top_p is not None:
        total, nucleus, of_kept = 0.0, [], sum(p[word] for word in kept)
        for word in kept:
            nucleus.append(word)
            total += p[word] / of_kept
            if total >= top_p:
                break
        kept = nucleus
    of_kept = sum(p[word] for word in kept)
    return [p[word] / of_kept if word in kept else 0.0 for word in range(len(p))]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_probabilities(temperature):
    np.testing.assert_allclose(probabilities(LOGITS, temperature), oracle(LOGITS, temperature), rtol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 11, 12, 13, 1000])
def test_keep_top_k(k):
    np.testing.assert_allclose(keep_top_k(probabilities(LOGITS, 1.0), k), oracle(LOGITS, top_k=k), rtol=1e-12)


@pytest.mark.parametrize("share", [1e-9, 0.3, 0.6, 0.9, 0.99, 1.0])
def test_keep_top_p(share):
    kept = keep_top_p(probabilities(LOGITS, 2.0), share)
    np.testing.assert_allclose(kept, oracle(LOGITS, 2.0, top_p=share), rtol=1e-12)


def test_the_fewest_words_whose_sum_is_reached_exactly():
    p = np.array([0.125, 0.5, 0.25, 0.125])
    np.testing.assert_allclose(keep_top_p(p, 0.75), [0, 2 / 3, 1 / 3, 0])
    np.testing.assert_allclose(keep_top_p(p, 0.5), [0, 1, 0, 0])


def test_equally_likely_words_stay_together():
    p = np.array([0.2, 0.4, 0.2, 0.2])
    for kept in (keep_top_k(p, 2), keep_top_p(p, 0.5)):
        np.testing.assert_allclose(kept, p)


@pytest.mark.parametrize("settings", [(1.0, None, None), (0.7, 5, None), (1.5, None, 0.8), (1.5, 6, 0.9)])
def test_draws_with_these_probabilities(settings):
    rng = np.random.default_rng(1)
    drawn = [draw(LOGITS, rng, *settings) for _ in range(4000)]
    shares = np.bincount(drawn, minlength=len(LOGITS)) / len(drawn)
    expected = np.array(oracle(LOGITS, *settings))
    np.testing.assert_allclose(shares, expected, atol=0.03)
    assert not shares[expected == 0].any()


def test_a_temperature_of_0_takes_the_likeliest():
    rng = np.random.default_rng(1)
    assert draw(LOGITS, rng, 0, None, None) == draw(LOGITS, rng, 0.0, 3, 0.5) == np.argmax(LOGITS)


def test_a_temperature_near_0_overflows_to_the_likeliest():
    rng = np.random.default_rng(1)
    for temperature in (1e-4, 1e-310, 5e-324):
        assert draw(LOGITS, rng, temperature, None, None) == np.argmax(LOGITS)


def test_logits_that_are_not_finite():
    rng = np.random.default_rng(1)
    for wrong in (np.nan, np.inf):
        logits = LOGITS.copy()
        logits[3] = wrong
        for temperature in (0, 1.0):
            with pytest.raises(ValueError, match=f"`model` must give finite logits.*{wrong}"):
                draw(logits, rng, temperature, None, None)
    # A word that a model forbids.
    logits = LOGITS.copy()
    logits[np.argmax(LOGITS)] = -np.inf
    assert draw(logits, rng, 0, None, None) == np.argsort(LOGITS)[-2]
    assert np.argmax(LOGITS) not in {draw(logits, rng, 9.0, None, None) for _ in range(100)}

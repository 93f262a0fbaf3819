import math

import numpy as np
import pytest

from awd_keras.generation.sampling import (
    ban,
    check_finite,
    draw,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalize_repetition,
    probabilities,
    scale,
)

pytestmark = pytest.mark.once

LOGITS = np.random.default_rng(0).normal(scale=3.0, size=12).astype("float32")


def oracle(logits, temperature=1.0, top_k=None, top_p=None, min_p=None):
    """The probabilities of the words to draw, by plain loops."""
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
    if min_p is not None:
        kept = [word for word in kept if p[word] >= min_p * p[ranked[0]]]
    of_kept = sum(p[word] for word in kept)
    return [p[word] / of_kept if word in kept else 0.0 for word in range(len(p))]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_temperature(temperature):
    np.testing.assert_allclose(probabilities(scale(LOGITS, temperature)), oracle(LOGITS, temperature), rtol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 11, 12, 13, 1000])
def test_keep_top_k(k):
    np.testing.assert_allclose(probabilities(keep_top_k(LOGITS, k)), oracle(LOGITS, top_k=k), rtol=1e-12)


@pytest.mark.parametrize("share", [1e-9, 0.3, 0.6, 0.9, 0.99, 1.0])
def test_keep_top_p(share):
    kept = keep_top_p(scale(LOGITS, 2.0), share)
    np.testing.assert_allclose(probabilities(kept), oracle(LOGITS, 2.0, top_p=share), rtol=1e-12)


@pytest.mark.parametrize("share", [1e-9, 0.05, 0.3, 0.9, 1.0])
def test_keep_min_p(share):
    kept = keep_min_p(scale(LOGITS, 2.0), share)
    np.testing.assert_allclose(probabilities(kept), oracle(LOGITS, 2.0, min_p=share), rtol=1e-12)


def test_one_after_another():
    kept = keep_min_p(keep_top_p(keep_top_k(scale(LOGITS, 2.0), 8), 0.9), 0.2)
    np.testing.assert_allclose(probabilities(kept), oracle(LOGITS, 2.0, 8, 0.9, 0.2), rtol=1e-12)


def test_the_fewest_words_whose_sum_is_reached_exactly():
    logits = np.log([0.125, 0.5, 0.25, 0.125])
    np.testing.assert_allclose(probabilities(keep_top_p(logits, 0.75)), [0, 2 / 3, 1 / 3, 0])
    np.testing.assert_allclose(probabilities(keep_top_p(logits, 0.5)), [0, 1, 0, 0])


def test_equally_likely_words_stay_together():
    logits = np.log([0.2, 0.4, 0.2, 0.2])
    for kept in (keep_top_k(logits, 2), keep_top_p(logits, 0.5)):
        np.testing.assert_array_equal(kept, logits)


def test_banned_words_leave_their_probability_to_the_others():
    p = probabilities(ban(LOGITS, np.array([0, 5])))
    assert p[0] == p[5] == 0
    others = [word for word in range(len(LOGITS)) if word not in (0, 5)]
    expected = probabilities(LOGITS)[others]
    np.testing.assert_allclose(p[others], expected / expected.sum())


def test_repetition_is_penalized():
    logits = np.array([2.0, -3.0, 4.0, -1.0])
    penalized = penalize_repetition(logits, np.array([0, 1, 0]), 2.0)
    np.testing.assert_array_equal(penalized, [1.0, -6.0, 4.0, -1.0])
    # The argument isn't changed.
    np.testing.assert_array_equal(logits, [2.0, -3.0, 4.0, -1.0])
    np.testing.assert_array_equal(penalize_repetition(np.array([-np.inf, 1.0]), np.array([0]), 2.0), [-np.inf, 1.0])
    # Whatever the penalty, there is a likeliest word.
    tiny = penalize_repetition(logits.astype("float32"), np.array([0, 1, 2]), 5e-324)
    np.testing.assert_allclose(probabilities(scale(tiny, 1.0)), [0.5, 0, 0.5, 0])


def test_draws_with_these_probabilities():
    rng = np.random.default_rng(1)
    logits = keep_top_p(keep_top_k(scale(LOGITS, 1.5), 6), 0.9)
    drawn = [draw(logits, rng) for _ in range(4000)]
    shares = np.bincount(drawn, minlength=len(LOGITS)) / len(drawn)
    expected = np.array(oracle(LOGITS, 1.5, 6, 0.9))
    np.testing.assert_allclose(shares, expected, atol=0.03)
    assert not shares[expected == 0].any()


def test_a_temperature_near_0_overflows_to_the_likeliest():
    rng = np.random.default_rng(1)
    for temperature in (1e-4, 1e-310, 5e-324):
        assert draw(scale(LOGITS, temperature), rng) == np.argmax(LOGITS)


def test_logits_that_are_not_finite():
    for wrong in (np.nan, np.inf):
        logits = LOGITS.copy()
        logits[3] = wrong
        with pytest.raises(ValueError, match=f"`model` must give finite logits.*{wrong}"):
            check_finite(logits)
    # A word that a model forbids.
    logits = LOGITS.copy()
    logits[3] = -np.inf
    check_finite(logits)
    assert 3 not in {draw(scale(logits, 9.0), np.random.default_rng(seed)) for seed in range(100)}

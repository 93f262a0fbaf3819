"""`evaluation.ngram_perplexity`, compared with counting by plain loops."""

import itertools
import math

import numpy as np
import pytest

from awd_keras.evaluation import ngram_perplexity

pytestmark = pytest.mark.once


def by_loops(train, tokens, size, order):
    train, tokens = list(train), list(tokens)
    nats = []
    for before, word in itertools.pairwise(tokens):
        p = (train.count(word) + 1) / (len(train) + size)
        if order == 2:
            after = [train[place + 1] for place in range(len(train) - 1) if train[place] == before]
            if after:
                p = (after.count(word) + len(set(after)) * p) / (len(after) + len(set(after)))
        nats.append(-math.log(p))
    return math.exp(sum(nats) / len(nats))


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("length", [2, 5, 300])
def test_counts(order, length):
    rng = np.random.default_rng(0)
    # With words that aren't in the training text, its last word, and pairs that aren't in it.
    train, tokens = rng.integers(0, 12, length).astype("int32"), np.array([*rng.integers(0, 15, 200), 14, 14])
    assert ngram_perplexity(train, tokens, 15, order) == pytest.approx(by_loops(train, tokens, 15, order), rel=1e-12)


def test_all_probabilities_add_up():
    train = np.array([0, 1, 0, 2, 0, 1])
    for before in range(4):
        p = [1 / ngram_perplexity(train, [before, word], 4) for word in range(4)]
        assert sum(p) == pytest.approx(1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"order": 3}, "`order` must be 1 or 2.*3"),
        ({"vocabulary_size": 0}, "`vocabulary_size` must be a positive integer"),
        ({"train": [0, 9]}, r"`train` must hold ids in \[0, 4\).*0 to 9"),
        ({"tokens": [1]}, r"`tokens` must be a 1-D array of at least two integer ids.*\(1,\)"),
        ({"tokens": [0.5, 1.0]}, "`tokens` must be .*float64"),
        ({"tokens": [-1, 1]}, "`tokens` must hold ids.*-1 to 1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ngram_perplexity(**{"train": [0, 1, 2], "tokens": [1, 2], "vocabulary_size": 4, **arguments})

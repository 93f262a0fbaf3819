"""`generation.next_words`: the probabilities that the model gives after a text."""

import keras
import numpy as np
import pytest

from awd_keras.data import Vocabulary
from awd_keras.generation import next_words
from backends_tests import oracle
from backends_tests.evaluation.small_model import make_model
from backends_tests.helpers import once

WORDS = ("<eos>", "<unk>", "a", "b", "c", "d")


@pytest.fixture(scope="module")
def model():
    return make_model(3, len(WORDS))


@pytest.mark.parametrize(
    ("context", "read"),
    [
        ("a b\nc", ["a", "b", "<eos>", "c"]),
        *once(("", ["<eos>"]), ("a zebra", ["a", "<unk>"]), ("d " * 40, ["d"] * 40)),
    ],
)
def test_the_likeliest_words(model, context, read):
    weights = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    ids = np.array([[WORDS.index(word) for word in read]])
    logits = oracle.AWDLSTM(weights, 1).forward(ids)[0][0, -1].astype("float64")
    p = np.exp(logits) / np.exp(logits).sum()
    words = next_words(model, Vocabulary(WORDS), context, k=4)
    assert [word for word, _ in words] == [WORDS[place] for place in np.argsort(-p)[:4]]
    np.testing.assert_allclose([share for _, share in words], np.sort(p)[::-1][:4], rtol=1e-4)


@pytest.mark.once
def test_no_more_than_there_are(model):
    words = next_words(model, Vocabulary(WORDS), "a", k=100)
    assert len(words) == len(WORDS)
    assert sum(share for _, share in words) == pytest.approx(1)


@pytest.mark.once
@pytest.mark.parametrize(
    ("vocabulary", "arguments", "message"),
    [
        (WORDS, {"k": 0}, "`k` must be a positive integer.*0"),
        (WORDS[2:], {"context": "a zebra"}, "`context` must hold words of the vocabulary only.*'zebra'"),
        (WORDS[:-1], {}, "`vocabulary` must have .* logits, 6"),
    ],
)
def test_bad_arguments(model, vocabulary, arguments, message):
    with pytest.raises(ValueError, match=message):
        next_words(model, Vocabulary(vocabulary), **{"context": "a", **arguments})

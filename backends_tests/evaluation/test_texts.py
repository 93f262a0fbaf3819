"""`evaluation.score_texts`: many short texts, each scored separately."""

import math

import keras
import numpy as np
import pytest

from awd_keras.data import Vocabulary
from awd_keras.evaluation import score_texts, surprisal
from backends_tests.evaluation.small_model import Counted, make_model
from backends_tests.helpers import once

WORDS = ("<eos>", "<unk>", *"abcdefgh")


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary(WORDS)


@pytest.fixture(scope="module")
def model():
    return make_model(5, len(WORDS))


def make_texts(count):
    rng = np.random.default_rng(1)
    lengths = [0, 1, 2, 3, 4, 5, 6, 7, 150, *rng.integers(1, 40, count)]
    return [" ".join(rng.choice([*"abcdefgh", "zebra"], length)) for length in lengths]


@pytest.mark.parametrize("batch_size", [3, *once(1, 5, 32)])
def test_the_sums_of_surprisal(model, vocabulary, batch_size):
    texts = [*make_texts(3), "a b\nc\n"]
    scores = score_texts(model, vocabulary, texts, batch_size)
    assert len(scores) == len(texts)
    for text, score in zip(texts, scores, strict=True):
        if not text:
            assert score[:1] + score[2:] == (0, 0, 0)
            assert math.isnan(score.perplexity)
            continue
        bits = surprisal(model, vocabulary, text, bptt=500).bits
        assert score.log_probability == pytest.approx(-math.log(2) * np.sum(bits, dtype="float64"), rel=1e-5, abs=1e-5)
        assert score.perplexity == pytest.approx(2 ** np.mean(bits), rel=1e-5)
        assert score.words == len(bits)
        assert score.unknown_words == text.count("zebra")


@pytest.mark.once
def test_the_order_is_that_of_the_texts(model, vocabulary):
    texts = make_texts(10)
    backwards = score_texts(model, vocabulary, texts[::-1], 4)[::-1]
    for one, other in zip(score_texts(model, vocabulary, iter(texts), 4), backwards, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    assert score_texts(model, vocabulary, []) == []


def test_few_programs(vocabulary):
    model = Counted(len(WORDS), embedding_dim=4, hidden_units=5, num_layers=1, seed=3)
    model.build((4, None))
    score_texts(model, vocabulary, make_texts(200))
    # PyTorch compiles nothing. On TensorFlow, from the second length on one graph serves all lengths.
    assert keras.backend.backend() == "torch" or model.runs <= 4


@pytest.mark.once
def test_leaves_the_model_alone(vocabulary):
    model = make_model(4, len(WORDS))
    before = model.get_weights()
    state = model.lstms[0].training_state
    for part in state:
        part.assign(np.full(part.shape, 0.5))
    score_texts(model, vocabulary, ["a b", "c"])
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal([keras.ops.convert_to_numpy(part) for part in state], 0.5)


@pytest.mark.once
@pytest.mark.parametrize(
    ("words", "texts", "message"),
    [
        (WORDS, "a b", "`texts` must be strings, not one string. Received: texts='a b'"),
        (WORDS[1:], ["a"], "`vocabulary` must have <eos>, which comes before each text"),
        ([*WORDS[:1], *WORDS[2:], "i"], ["a", "zebra"], "words of the vocabulary only.*'zebra'"),
        ([*WORDS, "i"], ["a"], "`vocabulary` must have as many words as the model, 10. Received: "),
    ],
)
def test_bad_arguments(model, words, texts, message):
    with pytest.raises(ValueError, match=message):
        score_texts(model, Vocabulary(words), texts)
    with pytest.raises(ValueError, match="`batch_size` must be a positive integer"):
        score_texts(model, Vocabulary(words), ["a"], batch_size=0)

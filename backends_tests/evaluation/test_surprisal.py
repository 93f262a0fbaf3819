import math

import keras
import numpy as np
import pytest

from awd_keras.data import Vocabulary
from awd_keras.evaluation import perplexity, surprisal
from backends_tests import oracle
from backends_tests.evaluation.small_model import make_model
from backends_tests.helpers import values_of

WORDS = ("<eos>", "<unk>", "a", "b", "c", "d", "e", "f")


@pytest.fixture
def vocabulary():
    return Vocabulary(WORDS)


@pytest.fixture
def model():
    return make_model(3, len(WORDS))


def expected_bits(model, tokens, batch_size=1):
    """The bits in NumPy, from one call on whole rows."""
    length = (len(tokens) - 1) // batch_size
    x = tokens[: length * batch_size].reshape(batch_size, length)
    y = tokens[1 : length * batch_size + 1].reshape(batch_size, length)
    weights = values_of(model.trainable_variables)
    log_p = oracle.log_softmax(oracle.AWDLSTM(weights, batch_size).forward(x)[0])
    return -np.take_along_axis(log_p, y[..., None], axis=-1).reshape(-1) / math.log(2)


# 58 targets: windows of 20 leave a short one; three rows leave a word out.
@pytest.mark.parametrize("batch_size", [1, 3])
def test_tokens_equal_numpy_and_add_up_to_the_perplexity(model, vocabulary, rng, batch_size):
    tokens = rng.integers(len(WORDS), size=59).astype("int32")
    # Called first, as it leaves a state in the model.
    score = perplexity(model, tokens, batch_size=batch_size, bptt=20)
    table = surprisal(model, vocabulary, tokens, batch_size=batch_size, bptt=20)
    expected = expected_bits(model, tokens, batch_size)
    np.testing.assert_allclose(table.bits, expected, rtol=1e-5, atol=1e-5)
    assert table.words == tuple(vocabulary.decode(tokens[1 : len(expected) + 1]))
    assert expected.max() - expected.min() > 5
    assert len(table) == score.tokens
    assert table.total_bits == pytest.approx(score.loss * score.tokens / math.log(2), rel=1e-5)
    assert table.even_guess == 3.0


@pytest.mark.once
def test_a_text_begins_on_a_new_line(model, vocabulary):
    table = surprisal(model, vocabulary, "a  zebra\n\nc ")
    assert table.words == ("a", "<unk>", "<eos>", "<eos>", "c")
    np.testing.assert_allclose(table.bits, expected_bits(model, np.array([0, 2, 1, 0, 0, 4])), rtol=1e-5)


def test_a_model_with_hidden_states_too(vocabulary):
    ids = keras.Input((None,), dtype="int32")
    rows = keras.layers.Embedding(len(WORDS), len(WORDS))(ids)
    model = keras.Model(ids, [rows, rows])
    logits = np.random.default_rng(1).normal(size=(len(WORDS), len(WORDS)))
    model.set_weights([logits])
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    table = surprisal(model, vocabulary, np.array([3, 5, 2]))
    np.testing.assert_allclose(table.bits, -np.log2([p[3, 5], p[5, 2]]), rtol=1e-5)


def test_leaves_training_state_alone(model, vocabulary):
    state = model.lstms[0].training_state
    for part in state:
        part.assign(np.full(part.shape, 0.5))
    surprisal(model, vocabulary, "a b c")
    np.testing.assert_array_equal(values_of(state), 0.5)


@pytest.mark.once
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "`text` must have more tokens than `batch_size`.* Received: 1 tokens with batch_size=1"),
        (np.zeros(9), "must be a 1-D array of integer.*float64"),
        (np.array([0, len(WORDS)]), r"ids in \[0, 8\).*from 0 to 8"),
    ],
)
def test_bad_texts(model, vocabulary, text, message):
    with pytest.raises(ValueError, match=message):
        surprisal(model, vocabulary, text)


@pytest.mark.once
def test_unknown_words(model):
    with pytest.raises(ValueError, match="'zebra'"):
        surprisal(model, Vocabulary(["<eos>", *"abcdefg"]), "a zebra")
    with pytest.raises(ValueError, match="`vocabulary` must have as many words as the model, 8"):
        surprisal(model, Vocabulary(["<eos>", *"abcdefgh"]), "a")

"""Every score tells how many of its tokens are `<unk>`."""

import numpy as np
import pytest

from awd_keras import evaluation
from awd_keras.data import UNK, Vocabulary
from awd_keras.models import AWDLSTM

pytestmark = pytest.mark.once

WORDS = Vocabulary(["<eos>", "a", UNK, "b"])
# The first token isn't predicted, as nothing comes before it; in two rows, the last one isn't either.
TOKENS = np.array([2, 0, 2, 1, 2, 3, 0, 1, 2, 1, 0, 2], "int32")


@pytest.fixture(scope="module")
def model():
    model = AWDLSTM(len(WORDS), embedding_dim=4, hidden_units=4, num_layers=1, seed=1)
    model.build((2, None))
    return model


def test_perplexity(model):
    score = evaluation.perplexity(model, TOKENS, bptt=11, vocabulary=WORDS)
    assert (score.tokens, score.unknown_tokens) == (11, 4)
    in_rows = evaluation.perplexity(model, TOKENS, batch_size=2, bptt=11, vocabulary=WORDS)
    assert (in_rows.tokens, in_rows.unknown_tokens) == (10, 3)
    no_unk = Vocabulary(["<eos>", "a", "c", "b"])
    assert evaluation.perplexity(model, TOKENS, bptt=11, vocabulary=no_unk).unknown_tokens == 0
    assert evaluation.perplexity(model, TOKENS, bptt=11).unknown_tokens is None


def test_a_cache(model):
    score = evaluation.cache_perplexity(model, TOKENS, window=3, bptt=11, vocabulary=WORDS)
    assert (score.tokens, score.unknown_tokens) == (11, 4)
    trials = evaluation.tune_cache(model, TOKENS, [3], [0.1], [0.5], bptt=11, vocabulary=WORDS)
    assert trials[0].score.unknown_tokens == 4


def test_dynamic_evaluation(model):
    rms = [np.ones(variable.shape) for variable in model.trainable_variables]
    trials = evaluation.tune_dynamic(model, TOKENS, [0.0], [0.0], rms=rms, bptt=11, vocabulary=WORDS)
    assert (trials[0].score.tokens, trials[0].score.unknown_tokens) == (11, 4)


def test_a_table_of_surprisals():
    table = evaluation.SurprisalTable(["a", UNK, "b", UNK], [1.0] * 4, even_guess=2.0)
    assert table.unknown_tokens == 2

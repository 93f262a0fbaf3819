"""A language model for the words of another text."""

import numpy as np
import pytest

from awd_keras.data import Vocabulary
from awd_keras.models import AWDLSTM, adapt_vocabulary
from backends_tests.helpers import draw_weights, to_numpy

OLD, NEW = Vocabulary(["<unk>", "a", "b", "c"]), Vocabulary(["c", "x", "<unk>", "b", "y"])
KNOWN, KNOWN_TOO = np.array([[0, 2, 3]] * 2), np.array([[2, 3, 0]] * 2)  # the same words


@pytest.fixture
def model(rng):
    model = AWDLSTM(len(OLD), embedding_dim=3, hidden_units=4, num_layers=2, seed=1)
    model.build((2, None))
    draw_weights(model, rng)
    return model


def test_known_words_keep_their_rows_and_others_get_the_mean(model):
    before = model.get_weights()
    adapted = adapt_vocabulary(model, OLD, NEW)
    assert adapted.get_config() == {**model.get_config(), "vocabulary_size": 5}
    for old, new in zip(model.embedding.get_weights(), adapted.embedding.get_weights(), strict=True):
        mean = old.mean(axis=0)
        np.testing.assert_allclose(new, [old[3], mean, old[0], old[2], mean], rtol=1e-6)
    # For words that both vocabularies have, the same is read, and the same logits are given.
    logits, others = (to_numpy(each(ids)) for each, ids in ((model, KNOWN), (adapted, KNOWN_TOO)))
    np.testing.assert_allclose(others[..., [2, 3, 0]], logits[..., [0, 2, 3]], atol=1e-5)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.once
def test_wrong_arguments(model):
    with pytest.raises(ValueError, match="`model` must be an AWDLSTM of tied .* Received: model=3"):
        adapt_vocabulary(3, OLD, NEW)
    with pytest.raises(ValueError, match="`model` must be built"):
        adapt_vocabulary(AWDLSTM(4), OLD, NEW)
    with pytest.raises(ValueError, match="`old` must be the model's vocabulary, of 4 words. Received: 5 words"):
        adapt_vocabulary(model, NEW, OLD)


@pytest.mark.once
def test_an_embedding_with_lora(model, rng):
    """What it has learnt is in the new model's table."""
    model.embedding.enable_lora(2)
    for variable in model.embedding.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    table, new = model.embedding.embeddings, adapt_vocabulary(model, OLD, NEW).embedding.embeddings
    np.testing.assert_allclose(to_numpy(new)[[2, 3, 0]], to_numpy(table)[[0, 2, 3]], rtol=1e-6)

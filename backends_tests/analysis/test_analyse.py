"""`analyse`: the gates and the memory of a model that reads a text. For its files, see cli/test_analyse.py."""

import numpy as np
import pytest
from keras import ops

from awd_keras.analysis import analyse
from awd_keras.data import Vocabulary
from awd_keras.models import AWDLSTM

VOCABULARY = Vocabulary(["<eos>", "<unk>", "the", "cat", "sat"])


@pytest.fixture(scope="module")
def model():
    model = AWDLSTM(len(VOCABULARY), embedding_dim=4, hidden_units=4, num_layers=2, seed=1)
    model.build((2, None))
    return model


def test_reads_as_the_model_does(model):
    found = analyse(model, VOCABULARY, "cat\nmeowed  meowed")
    assert found.words == ("cat", "<eos>", "<unk>", "<unk>")
    assert found.unknown == ("meowed",)
    assert found.unknown_tokens == found.words.count("<unk>") > 0
    assert [layer.name for layer in found.layers] == ["lstm_0", "lstm_1"]
    _, last = model(VOCABULARY.encode(found.words)[None], return_hidden_states=True)
    np.testing.assert_allclose(found.layers[-1].gates.h, ops.convert_to_numpy(last), atol=1e-5)
    for layer in found.layers:
        assert layer.gates.f.shape == (1, 4, 4)
        assert layer.memory.content.shape == (1, 4, 4)
        # The diagonal is the input gate. The last row still has a part of every word.
        diagonal = np.sqrt(np.mean(layer.gates.i**2, axis=-1))
        np.testing.assert_allclose(np.diagonal(layer.memory.content, axis1=1, axis2=2), diagonal, atol=1e-6)
        assert (layer.memory.content[0, -1] > 0).all()


def test_leaves_the_carried_state_alone(model):
    before = [ops.convert_to_numpy(part) for lstm in model.lstms for part in lstm.inference_state]
    first = analyse(model, VOCABULARY, "the cat sat sat")
    again = analyse(model, VOCABULARY, "the cat sat sat")
    np.testing.assert_array_equal(first.layers[1].gates.h, again.layers[1].gates.h)
    after = [ops.convert_to_numpy(part) for lstm in model.lstms for part in lstm.inference_state]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.once
def test_bad_arguments(model):
    with pytest.raises(ValueError, match="`model` must be an AWDLSTM that is built. Received: model='model'"):
        analyse("model", VOCABULARY, "the cat")
    with pytest.raises(ValueError, match="`model` must be an AWDLSTM that is built"):
        analyse(AWDLSTM(5, embedding_dim=4, hidden_units=4, num_layers=1), VOCABULARY, "the cat")
    with pytest.raises(ValueError, match=r"`vocabulary` must have as many words as the model, 5. Received.*\(2 words"):
        analyse(model, Vocabulary(["the", "cat"]), "the cat")
    with pytest.raises(ValueError, match="`text` must have at least one word. Received: text=' '"):
        analyse(model, VOCABULARY, " ")
    closed = Vocabulary(["<eos>", "a", "the", "cat", "sat"])
    with pytest.raises(ValueError, match="as it has no <unk> for others. Received: 'zebra', 'yak'"):
        analyse(model, closed, "the zebra the yak the zebra")


@pytest.mark.once
def test_ablated_cells():
    """Gives the model's own gates for any cell that has gates, and refuses a cell that has none."""
    sizes = {"vocabulary_size": 5, "embedding_dim": 4, "hidden_units": 4, "num_layers": 1}
    model, without = (AWDLSTM(**sizes, cell=cell) for cell in ("-srnn", "-gates"))
    model.build((1, None))
    without.build((1, None))
    found = analyse(model, VOCABULARY, "the cat sat sat")
    _, last = model(VOCABULARY.encode(found.words)[None], return_hidden_states=True)
    np.testing.assert_allclose(found.layers[0].gates.h, ops.convert_to_numpy(last), atol=1e-5)
    with pytest.raises(ValueError, match="`layer` must have gates. Received: layer=.*lstm_0.*, variant='-gates'"):
        analyse(without, VOCABULARY, "the cat")


@pytest.mark.once
def test_a_model_that_diverged(model):
    kernel = model.lstms[1].cell.kernel
    before = ops.convert_to_numpy(kernel).copy()
    kernel.assign(np.full(kernel.shape, np.nan))
    try:
        with pytest.raises(ValueError, match="`model` must compute finite numbers, and the layer 'lstm_1' doesn't"):
            analyse(model, VOCABULARY, "the cat sat sat")
    finally:
        kernel.assign(before)

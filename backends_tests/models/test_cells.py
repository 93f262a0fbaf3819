"""AWD-LSTM with the ablated cells instead of LSTMs."""

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras.callbacks import awd_lstm
from awd_keras.data import BPTTDataset, Vocabulary
from awd_keras.generation import generate
from awd_keras.layers import AblatedLSTM, WeightDropLSTM
from awd_keras.models import AWDLSTM, inference_step
from awd_keras.optimizers import NTASGD
from backends_tests import oracle
from backends_tests.helpers import draw_weights

WORDS, BATCH, TIME = 11, 4, 5
UNITS = (7, 5)
ABLATED = [cell for cell in AblatedLSTM.VARIANTS if cell != "lstm"]


def small(cell, **arguments):
    return AWDLSTM(WORDS, embedding_dim=UNITS[1], hidden_units=UNITS[0], num_layers=2, cell=cell, seed=1, **arguments)


def with_weights(model):
    model.build((BATCH, None))
    rng = np.random.default_rng(5)
    draw_weights(model, rng, 0.5)
    return model


def expected_of(model, ids, states):
    """The logits of a window, in NumPy. Updates `states`, the LSTMs' [h, c]."""
    table, bias = (ops.convert_to_numpy(v).astype("float64") for v in model.embedding.trainable_variables)
    x = table[ids]
    for lstm, state in zip(model.lstms, states, strict=True):
        weights = [lstm.cell.kernel, lstm.cell.recurrent_kernel, lstm.cell.bias]
        weights = [None if weight is None else ops.convert_to_numpy(weight).astype("float64") for weight in weights]
        x, *state[:] = oracle.ablated_lstm(model.cell, x, *state, *weights)
    return x @ table.T + bias


def zeros(batch_size):
    return [[np.zeros((batch_size, units)) for _ in "hc"] for units in UNITS]


@pytest.mark.parametrize("cell", ABLATED)
def test_logits_equal_numpy(cell):
    """In windows with a carried state."""
    model = with_weights(small(cell))
    states = zeros(BATCH)
    for window in np.random.default_rng(0).integers(0, WORDS, (2, BATCH, TIME)):
        logits = model.predict_on_batch(window)
        np.testing.assert_allclose(logits, expected_of(model, window, states), atol=1e-5)


@pytest.mark.parametrize("cell", ["-srnn-hidden", "-gates"])
def test_the_inference_step_equals_numpy(cell):
    model = with_weights(small(cell))
    step, states = inference_step(model), zeros(BATCH)
    given = [ops.convert_to_tensor(part, "float32") for state in states for part in state]
    for tokens in np.random.default_rng(0).integers(0, WORDS, (2, BATCH, 1)):
        logits, *given = step([ops.convert_to_tensor(tokens), *given])
        np.testing.assert_allclose(ops.convert_to_numpy(logits), expected_of(model, tokens, states), atol=1e-5)
    for part, expected in zip(given, (part for state in states for part in state), strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(part), expected, atol=1e-5)


@pytest.mark.once
def test_the_lstm_is_the_layer_that_it_was():
    assert {type(lstm) for lstm in small("lstm").lstms} == {WeightDropLSTM}
    without = {name: value for name, value in small("lstm").get_config().items() if name != "cell"}
    assert AWDLSTM.from_config(without).cell == "lstm"  # a file from before there were other cells


@pytest.mark.once
def test_trains_with_the_whole_recipe(tmp_path):
    """Drops, penalties, carried state, averaging, and a file."""
    arguments = {"input_dropout": 0.0, "hidden_dropout": 0.0, "output_dropout": 0.1, "weight_drop": 0.2, "alpha": 0.1}
    model = small("-srnn-hidden", **arguments)
    model.compile(NTASGD(20.0, non_monotone_interval=1))
    train = BPTTDataset(np.arange(1201) % WORDS, BATCH, bptt=20, variable=False)
    valid = BPTTDataset(np.arange(81) % WORDS, BATCH, bptt=20, variable=False)
    history = model.fit(train, epochs=6, validation_data=valid, callbacks=awd_lstm(train), verbose=0).history
    assert history["perplexity"][-1] < 6 < history["perplexity"][0] < 2 * WORDS
    # The loss includes penalties, the perplexity doesn't.
    assert history["loss"][-1] > np.log(history["perplexity"][-1])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    for one, other in zip(loaded.trainable_variables, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(one), ops.convert_to_numpy(other))
    text = generate(loaded, Vocabulary([f"w{number}" for number in range(WORDS)]), "w1", max_words=2, seed=1)
    assert len(text.split()) >= 2


@pytest.mark.once
@pytest.mark.parametrize("cell", ["srnn", None, 3])
def test_bad_cell(cell):
    with pytest.raises(ValueError, match=f"`cell` must be one of 'lstm', '-srnn', .* Received: cell={cell!r}"):
        small(cell)

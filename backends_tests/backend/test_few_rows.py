"""Products of few rows with large kernels, as when a text is written word by word, are as right as others."""

import numpy as np
import pytest
from keras import ops

from awd_keras import backend
from awd_keras.generation.next_words import next_logits
from awd_keras.inference import begin_text, run
from awd_keras.models import AWDLSTM

# Large enough for the ways of their own that PyTorch and JAX have. 1,030 isn't a multiple of the number of parts.
INPUTS, OUTPUTS = 260, 1030


def _product(model, rows, kernel, transposed):
    return backend.product(rows, ops.transpose(transposed)), backend.product(rows, kernel)


def _affine(model, rows, kernel, transposed, bias):
    return backend.affine(rows, ops.transpose(transposed), bias), backend.affine(rows, kernel, bias)


@pytest.fixture(scope="module")
def model():
    model = AWDLSTM(OUTPUTS, embedding_dim=INPUTS, hidden_units=INPUTS, num_layers=2)
    model.build((6, None))
    return model


@pytest.mark.parametrize("count", [1, 2, 4, 5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_equal_numpy(model, count, dtype):
    rng = np.random.default_rng(count)
    rows, kernel, bias = (rng.normal(size=size) for size in ((count, INPUTS), (INPUTS, OUTPUTS), OUTPUTS))
    arrays = [np.ascontiguousarray(array, dtype) for array in (rows, kernel, kernel.T, bias)]
    for found in run(model, _product, *arrays[:3]):
        np.testing.assert_allclose(ops.convert_to_numpy(found), rows @ kernel, rtol=1e-4, atol=1e-4)
    for found in run(model, _affine, *arrays):
        np.testing.assert_allclose(ops.convert_to_numpy(found), rows @ kernel + bias, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("columns", [3, 8, 9])
def test_wide_rows_and_few_columns(model, columns):
    rng = np.random.default_rng(0)
    rows, kernel = rng.normal(size=(1, 2**18)), rng.normal(size=(2**18, columns)) / 2**9
    arrays = [np.ascontiguousarray(array, "float32") for array in (rows, kernel, kernel.T)]
    for found in run(model, _product, *arrays):
        np.testing.assert_allclose(ops.convert_to_numpy(found), rows @ kernel, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cell", ["lstm", "gru", "mogrifier"])
@pytest.mark.parametrize("count", [1, 3, 6])
def test_word_by_word_equals_a_whole_window(cell, count):
    model = AWDLSTM(OUTPUTS, embedding_dim=INPUTS, hidden_units=INPUTS, num_layers=2, cell=cell, seed=1)
    model.build((count, None))
    rng = np.random.default_rng(1)
    # Also of the biases, which would begin as zeros.
    model.set_weights([rng.normal(0, 0.1, w.shape) if w.dtype == "float32" else w for w in model.get_weights()])
    ids = rng.integers(OUTPUTS, size=(count, 4)).astype("int32")
    begin_text(model)
    whole = ops.convert_to_numpy(model(ids, training=False))
    begin_text(model)
    for t in range(4):
        logits = ops.convert_to_numpy(run(model, next_logits, ids[:, t : t + 1]))
        np.testing.assert_allclose(logits.reshape(count, -1), whole[:, t], rtol=1e-4, atol=1e-4)

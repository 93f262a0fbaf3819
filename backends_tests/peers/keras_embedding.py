"""Tests of `Embedding` and `ReversibleEmbedding` in Keras's and keras-hub's suites, applied to `EmbeddingDropout`."""

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras.layers import EmbeddingDropout

WORDS, WIDTH = 7, 4


def numpy_of(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.fixture
def layer():
    layer = EmbeddingDropout(WORDS, WIDTH, rate=0.5)
    layer.build()
    return layer


@pytest.mark.parametrize("shape", [(2,), (2, 3), (2, 3, 2)])
def test_rows_are_looked_up(layer, rng, shape):
    ids = rng.integers(0, WORDS, shape)
    np.testing.assert_array_equal(numpy_of(layer(ids)), numpy_of(layer.embeddings)[ids])
    assert layer.compute_output_shape(shape) == (*shape, WIDTH)


@pytest.mark.parametrize("mask_zero", [False, True])
def test_zero_is_a_mask(mask_zero):
    layer = EmbeddingDropout(WORDS, WIDTH, mask_zero=mask_zero)
    ids = np.array([[1, 0, 2], [0, 3, 0]])
    mask = layer.compute_mask(ids)
    assert (mask is None) == (not mask_zero)
    if mask_zero:
        np.testing.assert_array_equal(numpy_of(mask), ids != 0)


def test_tied_logits_are_products_with_the_table(layer, rng):
    hidden = rng.normal(size=(2, 3, WIDTH)).astype("float32")
    expected = hidden @ numpy_of(layer.embeddings).T + numpy_of(layer.bias)
    np.testing.assert_allclose(numpy_of(layer(hidden, reverse=True)), expected, atol=1e-5)


def test_untied_logits_have_a_table_of_their_own(rng):
    layer = EmbeddingDropout(WORDS, WIDTH, tie_weights=False, use_bias=False)
    layer.build()
    hidden = rng.normal(size=(2, WIDTH)).astype("float32")
    assert len(layer.trainable_weights) == 2
    expected = hidden @ numpy_of(layer.reverse_embeddings)
    np.testing.assert_allclose(numpy_of(layer(hidden, reverse=True)), expected, atol=1e-5)


def test_logits_are_capped_softly(rng):
    layer = EmbeddingDropout(WORDS, WIDTH, logit_soft_cap=0.1, use_bias=False)
    layer.build()
    hidden = 50 * rng.normal(size=(2, WIDTH)).astype("float32")
    logits = hidden @ numpy_of(layer.embeddings).T
    np.testing.assert_allclose(numpy_of(layer(hidden, reverse=True)), 0.1 * np.tanh(logits / 0.1), atol=1e-6)


@pytest.mark.parametrize("tie_weights", [True, False])
def test_a_tied_model_goes_through_a_file(tmp_path, tie_weights):
    layer = EmbeddingDropout(WORDS, WIDTH, tie_weights=tie_weights)
    inputs = keras.Input((None,), dtype="int32")
    model = keras.Model(inputs, layer(layer(inputs), reverse=True))
    ids = np.array([[1, 2, 3]])
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path)
    assert len(loaded.weights) == len(model.weights)
    np.testing.assert_allclose(numpy_of(loaded(ids)), numpy_of(model(ids)), atol=1e-6)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_dtypes(policy):
    layer = EmbeddingDropout(WORDS, WIDTH, dtype=policy)
    compute = keras.dtype_policies.get(policy).compute_dtype
    rows = layer(np.array([[1, 2]]))
    assert keras.backend.standardize_dtype(rows.dtype) == compute
    assert keras.backend.standardize_dtype(layer(rows, reverse=True).dtype) == compute
    assert layer.embeddings.dtype == "float32"

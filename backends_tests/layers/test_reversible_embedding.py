"""`EmbeddingDropout` has all features of its base class `keras.layers.ReversibleEmbedding`."""

import importlib

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras.layers import AdaptiveSoftmax, EmbeddingDropout, LockedDropout, WeightDropLSTM
from awd_keras.models import AWDLSTM
from backends_tests.helpers import once

WORDS, SIZE = 12, 6
IDS = np.array([[3, 1, 0], [11, 0, 3]])
H = np.random.default_rng(1).normal(size=(2, 3, SIZE)).astype("float32")


def to_numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def pair(use_bias=False, **kwargs):
    """Our layer and Keras's, with the same weights."""
    ours = EmbeddingDropout(WORDS, SIZE, rate=0.5, use_bias=use_bias, seed=1, **kwargs)
    theirs = keras.layers.ReversibleEmbedding(WORDS, SIZE, embeddings_initializer=ours.embeddings_initializer, **kwargs)
    ours.build()
    theirs.build()
    rng = np.random.default_rng(0)
    for variable in theirs.variables:
        variable.assign(rng.normal(size=variable.shape))
    ours.set_weights([*theirs.get_weights(), *([rng.normal(size=WORDS)] if use_bias else [])])
    return ours, theirs


def assert_alike(ours, theirs, atol=1e-6):
    for inputs, reverse in ((IDS, False), (H, True)):
        actual, expected = (layer(inputs, reverse=reverse) for layer in (ours, theirs))
        assert actual.dtype == expected.dtype
        np.testing.assert_allclose(to_numpy(actual), to_numpy(expected), atol=atol)


SETTINGS = [
    {},
    {"tie_weights": False},
    {"logit_soft_cap": 1.5},
    {"reverse_dtype": "float16"},
    {"mask_zero": True, "dtype": "mixed_bfloat16", "reverse_dtype": "float32", "tie_weights": False},
]


@pytest.mark.parametrize("settings", [*once(*SETTINGS[:-1]), SETTINGS[-1]], ids=str)
def test_as_keras_s(settings):
    ours, theirs = pair(**settings)
    assert_alike(ours, theirs, atol=0.03 if "reverse_dtype" in settings else 1e-6)
    assert all(ours.get_config()[name] == theirs.get_config()[name] for name in settings if name != "dtype")


def test_float32_logits_of_a_layer_in_half_precision_round_nothing():
    ours, _ = pair(dtype="mixed_bfloat16", reverse_dtype="float32")
    np.testing.assert_allclose(to_numpy(ours(H, reverse=True)), H @ to_numpy(ours.embeddings).T, atol=1e-5)


@pytest.mark.once
@pytest.mark.parametrize("settings", [{}, {"tie_weights": False}], ids=str)
@pytest.mark.parametrize("mode", ["int8", "int4", "int4 in groups"])
def test_quantized_as_keras_s(mode, settings, tmp_path):
    """It gives the same numbers as Keras's plus the bias, drops whole words, and is saved and loaded."""
    config = keras.quantizers.Int4QuantizationConfig(block_size=2) if mode == "int4 in groups" else None
    ours, theirs = pair(**settings)
    for layer in (ours, theirs):
        layer.quantize(mode[:4], config=config)
    assert_alike(ours, theirs)
    biased, _ = pair(use_bias=True, logit_soft_cap=2.0, **settings)
    bias = to_numpy(biased.bias)
    biased.quantize(mode[:4], config=config)
    logits = to_numpy(theirs(H, reverse=True)) + bias
    expected = 2 * np.tanh(logits / 2)
    np.testing.assert_allclose(to_numpy(biased(H, reverse=True)), expected, atol=1e-5)

    kept = (to_numpy(biased(np.arange(WORDS), training=True)) != 0).any(axis=-1)
    assert 0 < kept.sum() < WORDS
    model = keras.Sequential([keras.Input((3,), dtype="int32"), biased])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").layers[0]
    assert loaded.quantization_mode == mode[:4]
    np.testing.assert_allclose(to_numpy(loaded(H, reverse=True)), expected, atol=1e-5)
    np.testing.assert_array_equal(to_numpy(loaded(IDS)), to_numpy(biased(IDS)))


@pytest.mark.once
def test_a_quantized_model_scores_with_its_logits():
    """The chunked cross-entropy needs a table of floats, so a quantized model uses its logits."""
    scores = []
    for chunked in (False, True):
        model = AWDLSTM(WORDS, SIZE, 5, 1, seed=1, chunked_cross_entropy=chunked)
        model.compile()
        model.build((2, None))
        model.embedding.quantize("int8")
        scores.append(model.evaluate(IDS, IDS, batch_size=2, verbose=0, return_dict=True)["perplexity"])
    assert scores[0] == pytest.approx(scores[1], rel=1e-6)


@pytest.mark.once
def test_a_subclass_is_quantized_only_where_it_says_so():
    class Own(EmbeddingDropout):
        pass

    layer = Own(WORDS, SIZE)
    layer.build()
    with pytest.raises(NotImplementedError):
        layer.quantize("int8")
    layer.quantize("int8", type_check=False)
    assert layer.quantization_mode == "int8"


@pytest.mark.once
@pytest.mark.parametrize("settings", [{}, {"tie_weights": False}], ids=str)
def test_lora(settings, tmp_path):
    """For a built layer and by arguments. The table doesn't change, its factors and the bias do; a file merges them."""
    ours, theirs = pair(use_bias=True, **settings)
    ours.enable_lora(2, lora_alpha=3)
    theirs.enable_lora(2, lora_alpha=3)
    rng = np.random.default_rng(2)
    factors = rng.normal(size=(WORDS, 2)), rng.normal(size=(2, SIZE))
    for layer in (ours, theirs):
        layer.lora_embeddings_a.assign(factors[0])
        layer.lora_embeddings_b.assign(factors[1])
    np.testing.assert_allclose(to_numpy(ours(IDS)), to_numpy(theirs(IDS)), atol=1e-5)
    logits = to_numpy(theirs(H, reverse=True)) + to_numpy(ours.bias)
    np.testing.assert_allclose(to_numpy(ours(H, reverse=True)), logits, atol=1e-5)
    assert any(variable is ours.bias for variable in ours.trainable_variables)
    assert not any(variable.name == "embeddings" for variable in ours.trainable_variables)

    model = keras.Sequential([keras.Input((3,), dtype="int32"), ours])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").layers[0]
    assert (loaded.lora_rank, loaded.lora_alpha, loaded.lora_enabled) == (2, 3, True)
    np.testing.assert_allclose(to_numpy(loaded(H, reverse=True)), logits, atol=1e-5)


@pytest.mark.once
@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("settings", [{}, {"tie_weights": False}, {"lora_rank": 2}], ids=str)
def test_weights_to_begin_with(settings, as_list):
    table = np.random.default_rng(0).normal(size=(WORDS, SIZE)).astype("float32")
    layer = EmbeddingDropout(WORDS, SIZE, weights=[table] if as_list else table, **settings)
    np.testing.assert_allclose(to_numpy(layer(IDS)), table[IDS], atol=1e-6)
    assert not to_numpy(layer.bias).any()
    with pytest.raises(ValueError, match=r"`weights` must have the shape \(12, 6\). Received: shape=\(6, 12\)"):
        EmbeddingDropout(WORDS, SIZE, weights=table.T)


class Model(keras.Model):
    def __init__(self, embedding):
        super().__init__()
        self.embedding = embedding

    def call(self, ids):
        return self.embedding(ids)


@pytest.mark.parametrize("kind", ["Embedding", "ReversibleEmbedding"])
def test_a_file_of_a_keras_embedding_into_ours(kind, tmp_path):
    """The bias isn't changed, as such a file has none."""
    model = Model(getattr(keras.layers, kind)(WORDS, SIZE))
    expected = to_numpy(model(IDS))
    model.save_weights(tmp_path / "model.weights.h5")
    ours = Model(EmbeddingDropout(WORDS, SIZE))
    ours(IDS)
    ours.embedding.bias.assign(np.arange(WORDS))
    ours.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(to_numpy(ours(IDS)), expected)
    np.testing.assert_array_equal(to_numpy(ours.embedding.bias), np.arange(WORDS))


def ragged_ids():
    """Ragged ids, which exist only on TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        return []
    return [importlib.import_module("tensorflow").ragged.constant([[3, 1, 4], [], [0, 3]])]


def test_ragged_ids():
    """The embeddings are those of Keras's layer, words are dropped, and logits are right."""
    for ragged in ragged_ids():
        layer, keras_s = pair()
        ids = keras.Input((None,), dtype="int32", ragged=True)
        for found in (layer(ragged), keras.Model(ids, layer(ids))(ragged)):
            assert found.row_lengths().numpy().tolist() == [3, 0, 2]
            np.testing.assert_array_equal(found.flat_values, keras_s(ragged).flat_values)
        dropped = layer(ragged, training=True).flat_values.numpy()
        np.testing.assert_array_equal(dropped[0], dropped[4])
        kept = (dropped != 0).any(axis=-1)
        assert 0 < kept.sum() < 5
        np.testing.assert_array_equal(dropped[kept], 2 * found.flat_values.numpy()[kept])
        logits = layer(found, reverse=True)
        np.testing.assert_allclose(logits.flat_values, found.flat_values @ to_numpy(layer.embeddings).T, atol=1e-5)


def test_ragged_ids_of_an_adaptive_softmax():
    for ragged in ragged_ids():
        layer = AdaptiveSoftmax(WORDS, SIZE, cutoffs=[3], div_value=2)
        ids = keras.Input((None,), dtype="int32", ragged=True)
        model = keras.Model(ids, layer(layer(ids), reverse=True))
        found = model(ragged)
        assert found.row_lengths().numpy().tolist() == [3, 0, 2]
        expected = to_numpy(layer(layer(ragged.flat_values), reverse=True))
        np.testing.assert_allclose(found.flat_values, expected, atol=1e-5)


def test_what_needs_a_time_axis_says_that_it_takes_no_ragged_tensor():
    for ragged in ragged_ids():
        hidden = EmbeddingDropout(WORDS, SIZE)(ragged)
        symbolic = keras.Input((None, SIZE), ragged=True)
        for layer, inputs in (
            (LockedDropout(0.5), hidden),
            (LockedDropout(0.5), symbolic),
            (WeightDropLSTM(3), hidden),
            (WeightDropLSTM(3), symbolic),
            (AWDLSTM(WORDS, SIZE, 5, 1), ragged),
        ):
            with pytest.raises(ValueError, match=r"must not be ragged: .* Received: shape=\("):
                layer(inputs)

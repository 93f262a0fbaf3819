"""Quantized models: what they say, and what their files keep."""

import keras
import numpy as np
import pytest

from awd_keras.data import Vocabulary
from awd_keras.models import AWDLSTM, TextClassifier, adapt_vocabulary, load_torch_weights

IDS = np.random.default_rng(0).integers(0, 40, (2, 5))


def language_model(**options):
    model = AWDLSTM(40, embedding_dim=8, hidden_units=12, num_layers=2, seed=1, **options)
    model.build((2, None))
    return model


def classifier():
    return TextClassifier(language_model(), num_classes=3)


MODELS = {"tied": language_model, "untied": lambda: language_model(tie_weights=False), "classifier": classifier}


def quantized(model, mode):
    with pytest.warns(UserWarning, match="does not have a `quantize` method"):  # Keras says so of every other layer
        model.quantize(mode)
    return model


@pytest.mark.parametrize(
    ("kind", "mode"), [("tied", "int8"), ("tied", "int4"), ("untied", "int8"), ("classifier", "int8")]
)
def test_a_quantized_model_is_loaded_as_it_was(kind, mode, tmp_path):
    model = MODELS[kind]()
    exact = model.predict(IDS, verbose=0)
    quantized(model, mode)
    expected = model.predict(IDS, verbose=0)
    assert 0 < np.abs(expected - exact).max() < 0.1 * np.abs(exact).max() + 0.01
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.embedding.quantization_mode == mode
    np.testing.assert_array_equal(loaded.predict(IDS, verbose=0), expected)


def test_a_quantized_model_within_another_is_loaded_as_it_was(tmp_path):
    inner = quantized(language_model(), "int8")
    inputs = keras.Input((5,), batch_size=2, dtype="int32")
    model = keras.Model(inputs, inner(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    expected = model.predict(IDS, batch_size=2, verbose=0)
    np.testing.assert_array_equal(loaded.predict(IDS, batch_size=2, verbose=0), expected)


def test_a_model_that_is_not_quantized_says_nothing_of_it():
    assert "quantized" not in language_model().get_build_config()
    assert "quantized" not in classifier().get_config()


def test_a_classifier_is_not_made_of_a_quantized_language_model():
    with pytest.raises(ValueError, match="Argument `language_model` must not be quantized"):
        TextClassifier(quantized(language_model(), "int8"), num_classes=3)


def test_what_needs_weights_refuses_a_quantized_model(tmp_path):
    """The table of a quantized embedding holds integers, without their scale."""
    model, words = quantized(language_model(), "int8"), Vocabulary([f"w{number}" for number in range(40)])
    with pytest.raises(ValueError, match=r"Argument `model` must not be quantized: .* int8"):
        adapt_vocabulary(model, words, words)
    with pytest.raises(ValueError, match=r"Argument `model` must not be quantized: .* int8"):
        load_torch_weights(model, tmp_path / "weights.safetensors")
    model = language_model()
    model.embedding.enable_lora(2)
    with pytest.raises(ValueError, match=r"Argument `model` must have no LoRA"):
        load_torch_weights(model, tmp_path / "weights.safetensors")

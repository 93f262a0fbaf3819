import keras
import numpy as np
import pytest

from awd_keras.layers import EmbeddingDropout, LockedDropout, WeightDropLSTM

SHAPE = (2, 3, 4)


def make_model(seed=1, rate=0.5):
    return keras.Sequential(
        [
            keras.Input(SHAPE[1:2], batch_size=2, dtype="int32"),
            EmbeddingDropout(9, 4, rate=rate, seed=seed),
            LockedDropout(rate, seed=seed + 1),
            WeightDropLSTM(4, weight_drop=rate, return_sequences=True, seed=seed + 2),
        ]
    )


def draw(model, calls):
    ids = np.arange(6).reshape(2, 3)
    return [keras.ops.convert_to_numpy(model(ids, training=True)) for _ in range(calls)]


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_a_loaded_model_goes_on_with_the_masks_that_would_have_come(tmp_path, name):
    model = make_model()
    draw(model, 3)
    if name == "model.keras":
        model.save(tmp_path / name)
        loaded = keras.saving.load_model(tmp_path / name)
    else:
        model.save_weights(tmp_path / name)
        # Built with another seed, so that the seed must come from the file.
        loaded = make_model(seed=7)
        loaded.load_weights(tmp_path / name)
    expected = draw(model, 2)
    assert not np.array_equal(*expected)
    np.testing.assert_array_equal(draw(loaded, 2), expected)


def test_weights_fit_a_model_that_drops_nothing_and_back(tmp_path):
    """As for fine-tuning without dropout."""
    path = tmp_path / "model.weights.h5"
    model, plain = make_model(), make_model(rate=0.0)
    model.save_weights(path)
    plain.load_weights(path)
    for mine, its in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    before = draw(model, 1)
    plain.save_weights(path)
    model.load_weights(path)
    assert not np.array_equal(draw(model, 1), before)


@pytest.mark.parametrize("state", [[2**31 + 5, 3], [2**32 - 1, 2**31]])
def test_seeds_of_32_bits(tmp_path, state):
    """PyTorch's seeds are signed, JAX's unsigned, and TensorFlow's have 64 bits."""
    layer, other = LockedDropout(0.5, seed=1), LockedDropout(0.5, seed=1)
    layer.load_own_variables({"seed_state": np.array(state, "uint32")})  # as in earlier files
    saved = {}
    layer.seed_generator.save_own_variables(saved)
    assert saved["seed_state"].tolist() == state
    other.seed_generator.load_own_variables(saved)
    x = np.ones(SHAPE, "float32")
    np.testing.assert_array_equal(*[keras.ops.convert_to_numpy(one(x, training=True)) for one in (layer, other)])


class Model(keras.Model):
    """A model with layers as attributes. Files name those before `layers` by attribute, later ones by class."""

    def __init__(self, *layers):
        super().__init__()
        self.embedding, self.dropout, self.hidden = layers

    def call(self, ids):
        return self.hidden(self.dropout(self.embedding(ids)))


def test_files_of_keras_s_layers_into_ours_and_back(tmp_path):
    ours = Model(EmbeddingDropout(9, 4, use_bias=False), LockedDropout(0.5), WeightDropLSTM(3))
    keras_s = Model(keras.layers.Embedding(9, 4), keras.layers.Dropout(0.5), keras.layers.LSTM(3))
    ids = np.arange(6).reshape(2, 3)
    for source, other in ((ours, keras_s), (keras_s, ours)):
        for model in (source, other):
            model(ids)
        for weight in source.weights:
            weight.assign(weight + 0.1)
        source.save_weights(tmp_path / "model.weights.h5")
        other.load_weights(tmp_path / "model.weights.h5")
        np.testing.assert_allclose(*[keras.ops.convert_to_numpy(model(ids)) for model in (source, other)], atol=1e-6)

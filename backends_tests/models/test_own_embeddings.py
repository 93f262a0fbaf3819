"""A language model and a classifier whose embedding begins with the user's own table."""

import json
import zipfile

import keras
import numpy as np
import pytest

from awd_keras.data import Vocabulary
from awd_keras.models import AWDLSTM, TextClassifier, adapt_vocabulary
from awd_keras.optimizers import NTASGD, LayerwiseLearningRate
from backends_tests import oracle
from backends_tests.helpers import once, to_numpy

WORDS, SIZE, BATCH = 7, 5, 2
TABLE = np.random.default_rng(0).normal(size=(WORDS, SIZE))
UNKNOWN = np.where(np.eye(WORDS, SIZE)[:, [2]], np.nan, TABLE)
IDS = np.arange(8).reshape(BATCH, 4) % WORDS


def small(embeddings=TABLE, **arguments):
    return AWDLSTM(WORDS, hidden_units=4, num_layers=2, seed=1, embeddings=embeddings, **arguments)


def built(**arguments):
    model = small(**arguments)
    model.build((BATCH, None))
    return model


def train(model, optimizer):
    model.compile(optimizer)
    model.train_on_batch(IDS, IDS)
    return model


def test_it_is_what_the_model_begins_with():
    """The table is used for inputs and tied logits. All other weights are those of the seed, under the same names."""
    model = built()
    np.testing.assert_array_equal(to_numpy(model.embedding.embeddings), TABLE.astype("float32"))
    logits = oracle.AWDLSTM([to_numpy(v) for v in model.trainable_variables], BATCH).forward(IDS)[0]
    np.testing.assert_allclose(to_numpy(model(IDS)), logits, atol=1e-5)
    other = built(embeddings=None, embedding_dim=SIZE)
    for one, two in zip(model.weights[1:], other.weights[1:], strict=True):
        np.testing.assert_array_equal(to_numpy(one), to_numpy(two))
    paths = [[variable.path.partition("/")[2] for variable in each.weights] for each in (model, other)]
    assert paths[0] == paths[1]


def test_config_and_files(tmp_path):
    """The config has no table: a file has it in its weights, and a copy made from the config has random values."""
    model = built()
    config = model.get_config()
    assert "embeddings" not in config
    assert config["embedding_dim"] == SIZE
    assert json.loads(json.dumps(config)) == config
    for copy in (AWDLSTM.from_config(config), keras.models.clone_model(model)):
        assert copy.get_config() == config
        if not copy.built:
            copy.build((BATCH, None))
        assert np.abs(to_numpy(copy.embedding.embeddings)).max() <= 0.1
        copy.set_weights(model.get_weights())
        model.reset_states()
        copy.reset_states()
        np.testing.assert_allclose(*(to_numpy(each(IDS)) for each in (copy, model)), atol=1e-6)
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as file:
        assert b'"embeddings"' not in file.read("config.json")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one, two in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(one), to_numpy(two))


def test_a_classifier_has_it_without_training():
    """From a language model that isn't built, one that is, and a frozen table; also with another vocabulary."""
    for language_model in (small(), built()):
        for trainable in (True, False):
            language_model.embedding.trainable = trainable
            classifier = TextClassifier(language_model, 3)
            np.testing.assert_array_equal(to_numpy(classifier.embedding.embeddings), TABLE.astype("float32"))
            assert classifier.embedding.trainable == trainable
    words = Vocabulary(map(str, range(WORDS)))
    table = to_numpy(adapt_vocabulary(language_model, words, Vocabulary(reversed(words.words))).embedding.embeddings)
    np.testing.assert_array_equal(table, TABLE[::-1].astype("float32"))


@pytest.mark.parametrize("arguments", [{"chunked_cross_entropy": True}, *once({}, {"tie_weights": False})])
def test_frozen(arguments):
    """`trainable = False` freezes the layer, with the logits' bias. A multiplier of 0 freezes the table only."""
    model = built(**arguments)
    model.embedding.trainable = False
    before = model.get_weights()
    train(model, NTASGD(1.0))
    names = {variable.path for variable in model.embedding.weights}
    moved = {v.path for v, old in zip(model.weights, before, strict=True) if not np.array_equal(to_numpy(v), old)}
    assert moved == {variable.path for variable in model.weights} - names

    model = built(**arguments)
    train(model, LayerwiseLearningRate(NTASGD(1.0), {"embedding/embeddings": 0.0}))
    np.testing.assert_array_equal(to_numpy(model.embedding.embeddings), TABLE.astype("float32"))
    assert to_numpy(model.embedding.bias).any()


@pytest.mark.once
def test_frozen_after_loading(tmp_path):
    """Keras's file of a subclassed model doesn't store which layers train, but stores the optimizer's multipliers."""
    model = built()
    train(model, LayerwiseLearningRate(NTASGD(1.0), {"embedding/embeddings": 0.0}))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    loaded.train_on_batch(IDS, IDS)
    np.testing.assert_array_equal(to_numpy(loaded.embedding.embeddings), TABLE.astype("float32"))


@pytest.mark.once
def test_with_presets_and_other_softmaxes():
    model = AWDLSTM.from_preset("tiny", WORDS, embeddings=TABLE)
    assert model.embedding_dim == SIZE == model.lstms[-1].units
    assert AWDLSTM.from_preset("tiny", WORDS, embeddings=None).embedding_dim == 64
    assert AWDLSTM(WORDS).embedding_dim == 400
    untied = small(tie_weights=False, softmax="adaptive")
    np.testing.assert_array_equal(to_numpy(untied.embedding.embeddings), TABLE.astype("float32"))


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"embeddings": TABLE[1:]}, r"`embeddings` must have the shape \(7, any\). Received: shape=\(6, 5\)"),
        ({"embeddings": TABLE[0]}, r"`embeddings` must have the shape \(7, any\). Received: shape=\(5,\)"),
        ({"embedding_dim": 4}, r"`embeddings` must have the shape \(7, 4\). Received: shape=\(7, 5\)"),
        ({"embedding_dim": "4"}, "`embedding_dim` must be a positive integer. Received: embedding_dim='4'"),
        ({"embeddings": TABLE.astype(int)}, "`embeddings` must hold floats. Received: dtype=int64"),
        (
            {"embeddings": np.where(np.eye(WORDS, SIZE)[:, [2]], np.nan, TABLE)},
            "must hold finite values. Received: .* in row 2",
        ),
        ({"softmax": "adaptive"}, "`embeddings` must be None with `softmax='adaptive'` and tied weights"),
    ],
)
def test_wrong_tables(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(**arguments)

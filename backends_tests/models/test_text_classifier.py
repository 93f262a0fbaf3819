"""The classifier: its layers, padding, windows without gradients, and its use as a Keras model."""

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras import backend
from awd_keras.data import TextDataset, Vocabulary
from awd_keras.models import AWDLSTM, TextClassifier
from awd_keras.optimizers import LayerwiseLearningRate
from backends_tests.helpers import once, to_numpy

WORDS, CLASSES = 9, 3
LENGTHS = (11, 4, 6)


@pytest.fixture(scope="module")
def language_model():
    model = AWDLSTM(WORDS, embedding_dim=4, hidden_units=5, num_layers=2, seed=1)
    model.build((1, None))
    for variable in model.trainable_variables:  # so large that errors show
        variable.assign(4 * variable)
    return model


def new_classifier(language_model, **arguments):
    return TextClassifier(language_model, CLASSES, **{"hidden_units": [4], **arguments})


def texts(rng):
    return [rng.integers(WORDS, size=length) for length in LENGTHS]


def padded(rows, length=12, in_front=False):
    ids = np.full((len(rows), length), -1, "int32")
    for row, values in enumerate(rows):
        ids[row, length - len(values) if in_front else 0 :][: len(values)] = values
    return ids


def same_weights(classifier, source):
    for variable, other in zip(classifier.variables, source.variables, strict=True):
        variable.assign(ops.copy(other))
    return classifier


def test_reads_each_text_as_the_language_model_from_a_zero_state(language_model, rng):
    """The head's inputs equal NumPy's pooling, with padding anywhere, and with any other texts in the batch."""
    rows = texts(rng)
    classifier = new_classifier(language_model)
    pooled = []
    for row in rows:
        language_model.reset_states()
        hidden = to_numpy(language_model(row[None], return_hidden_states=True)[1])[0]
        pooled.append(np.concatenate([hidden[-1], hidden.max(axis=0), hidden.mean(axis=0)]))
    expected = to_numpy(classifier.head(np.stack(pooled).astype("float32")))
    assert np.abs(expected).max() > 0.01
    for ids in (padded(rows), padded(rows, in_front=True)):
        np.testing.assert_allclose(to_numpy(classifier(ids)), expected, atol=1e-5)
    masked = np.where(padded(rows) < 0, 3, padded(rows))
    np.testing.assert_allclose(to_numpy(classifier(masked, mask=padded(rows) >= 0)), expected, atol=1e-5)


def test_backwards_reads_from_the_end(language_model, rng):
    rows = texts(rng)
    classifier = new_classifier(language_model)
    backwards = same_weights(new_classifier(language_model, backwards=True), classifier)
    expected = to_numpy(classifier(padded([row[::-1] for row in rows])))
    np.testing.assert_allclose(to_numpy(backwards(padded(rows))), expected, atol=1e-6)


@pytest.mark.parametrize("length", [12, None])
def test_windows_change_nothing_but_gradients(language_model, rng, length):
    """Texts of 11, 4 and 6 tokens in windows of 3; also in a program for any length."""
    rows = texts(rng)
    whole = new_classifier(language_model)
    parted = same_weights(new_classifier(language_model, max_gradient_tokens=3), whole)
    expected = to_numpy(whole(padded(rows)))
    call = parted
    if length is None:
        call = keras.Model(ids := keras.Input((None,), dtype="int32"), parted(ids))
        call.compile("sgd", "mse", jit_compile=backend.jit_compile())
        np.testing.assert_allclose(call.predict(padded(rows), verbose=0), expected, atol=1e-5)
        np.testing.assert_allclose(call.predict(padded(rows[1:], 6), verbose=0), expected[1:], atol=1e-5)
    else:
        np.testing.assert_allclose(to_numpy(call(padded(rows))), expected, atol=1e-5)


def moved(classifier, ids):
    """The rows of the embedding that a training step changes."""
    table = to_numpy(classifier.embedding.embeddings).copy()
    classifier.compile(keras.optimizers.SGD(1.0), jit_compile=backend.jit_compile())
    classifier.train_on_batch(ids, np.zeros(len(ids), "int32"))
    return sorted(np.flatnonzero(np.abs(to_numpy(classifier.embedding.embeddings) - table).max(axis=1) > 0).tolist())


def test_gradients_go_through_the_last_tokens_alone():
    without = AWDLSTM(WORDS, 4, 5, 2, *[0.0] * 5, seed=1)
    ids = np.array([[0, 1, 2, 3, 4, 5, 6, 7], [6, 7, -1, -1, -1, -1, -1, -1]])
    assert moved(new_classifier(without, max_gradient_tokens=3, dropout=0), ids) == [6, 7]
    assert moved(new_classifier(without, dropout=0), ids) == [0, 1, 2, 3, 4, 5, 6, 7]


def test_the_language_model_stays_what_it_is(language_model, rng):
    before = language_model.get_weights()
    classifier = new_classifier(language_model)
    np.testing.assert_array_equal(to_numpy(classifier.embedding.embeddings), before[0])
    classifier.compile(keras.optimizers.SGD(1.0), jit_compile=backend.jit_compile())
    classifier.train_on_batch(padded(texts(rng)), np.array([0, 1, 2]))
    assert not np.array_equal(to_numpy(classifier.embedding.embeddings), before[0])
    for one, other in zip(language_model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_learns_and_is_saved(rng, tmp_path):
    """Learns which of three words a text has, with a learning rate for each layer and with class weights."""
    vocabulary = Vocabulary([f"w{index}" for index in range(WORDS)])
    labels = rng.integers(CLASSES, size=36)
    words = [[f"w{index}" for index in [*rng.integers(3, WORDS, size=4), label]] for label in labels]
    dataset = TextDataset(words, labels, vocabulary, 12, length_multiple=1)
    undropped = AWDLSTM(WORDS, 4, 5, 2, *[0.0] * 5, seed=1)
    classifier = new_classifier(undropped, hidden_units=[8], dropout=0, max_gradient_tokens=4)
    optimizer = LayerwiseLearningRate(keras.optimizers.Adam(0.05), "ulmfit")
    classifier.compile(optimizer, jit_compile=backend.jit_compile())
    history = classifier.fit(dataset, epochs=15, verbose=0, class_weight={0: 1.0, 1: 2.0, 2: 1.0}).history
    assert max(history["accuracy"]) > 0.9
    names = [name.rpartition("/")[2] for name in optimizer.multipliers]
    assert names == ["embedding", "lstm_0", "lstm_1", "head"]
    accuracy = classifier.evaluate(dataset, verbose=0, return_dict=True)["accuracy"]
    predicted = dataset.in_order_of_texts(classifier.predict(dataset, verbose=0))
    assert (predicted.argmax(axis=1) == labels).mean() == pytest.approx(accuracy)
    classifier.save(tmp_path / "classifier.keras")
    again = keras.saving.load_model(tmp_path / "classifier.keras")
    ids = padded(texts(rng))
    np.testing.assert_allclose(to_numpy(again(ids)), to_numpy(classifier(ids)), atol=1e-6)
    for one, other in zip(again.optimizer.variables, classifier.optimizer.variables, strict=True):
        np.testing.assert_allclose(to_numpy(one), to_numpy(other))


def test_the_mean_of_both_ways(language_model, rng, tmp_path):
    """A Keras model of both classifiers' mean, as in docs/guides/classifier.md, equals NumPy's mean."""
    ways = [
        new_classifier(language_model, backwards=backwards, max_gradient_tokens=3, name=name)
        for name, backwards in (("forward", False), ("backward", True))
    ]
    ids = keras.Input((None,), dtype="int32")
    both = keras.Model(ids, keras.layers.Average()([keras.layers.Softmax()(way(ids)) for way in ways]))
    both.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=backend.jit_compile())
    rows, labels = texts(rng), np.array([0, 1, 2])
    exponentials = [np.exp(to_numpy(way(padded(rows))).astype("float64")) for way in ways]
    each = [values / values.sum(axis=1, keepdims=True) for values in exponentials]
    assert np.abs(each[0] - each[1]).max() > 0.01
    expected = (each[0] + each[1]) / 2
    found = both.evaluate(padded(rows), labels, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(-np.log(expected[np.arange(3), labels]).mean(), rel=1e-4)
    assert found["accuracy"] == pytest.approx((expected.argmax(axis=1) == labels).mean())
    both.save(tmp_path / "both.keras")
    for model in (both, keras.saving.load_model(tmp_path / "both.keras")):
        np.testing.assert_allclose(model.predict(padded(rows), verbose=0), expected, atol=1e-5)


def test_a_text_without_a_word(language_model, rng):
    """A row with only padding, a batch of such rows and an empty batch give no NaN, also in training."""
    rows = texts(rng)
    classifier = new_classifier(language_model, max_gradient_tokens=3, dropout=0)
    with_none = np.concatenate([padded(rows), np.full((1, 12), -1, "int32")])
    logits = to_numpy(classifier(with_none))
    np.testing.assert_allclose(logits[:3], to_numpy(classifier(padded(rows))), atol=1e-6)
    nothing = to_numpy(classifier.head(np.zeros((1, 12), "float32")))
    np.testing.assert_allclose(logits[3:], nothing, atol=1e-6)
    for empty, count in ((np.full((2, 4), -1), 2), (np.zeros((0, 4), "int32"), 0)):
        np.testing.assert_allclose(to_numpy(classifier(empty)), np.repeat(nothing, count, axis=0), atol=1e-6)
    with pytest.raises(ValueError, match="must have at least one time step"):
        classifier(np.zeros((2, 0), "int32"))
    classifier.compile(keras.optimizers.SGD(0.1), jit_compile=backend.jit_compile())
    for ids in (with_none, np.full((4, 12), -1)):
        assert np.isfinite(classifier.train_on_batch(ids, np.array([0, 1, 2, 0]))).all()
    assert all(np.isfinite(weights).all() for weights in classifier.get_weights())


def test_class_weights(rng):
    ids, labels = padded(texts(rng)), np.array([0, 1, 1])
    classifier = new_classifier(AWDLSTM(WORDS, 4, 5, 2, *[0.0] * 5, seed=1), dropout=0)
    for layer in classifier.head.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)  # so that it uses its averages
    logits = to_numpy(classifier(ids)).astype("float64")
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(3), labels]
    classifier.compile(keras.optimizers.SGD(0.0), jit_compile=backend.jit_compile())
    found = classifier.fit(ids, labels, class_weight={0: 3.0, 1: 0.5}, verbose=0).history["loss"][0]
    assert found == pytest.approx(np.mean(losses * [3.0, 0.5, 0.5]), rel=1e-5)


def test_mixed_precision(language_model, rng):
    plain = new_classifier(language_model)
    mixed = same_weights(new_classifier(language_model, dtype="mixed_bfloat16"), plain)
    ids = padded(texts(rng))
    outputs = mixed(ids)
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16" == mixed.lstms[0].compute_dtype
    np.testing.assert_allclose(to_numpy(ops.cast(outputs, "float32")), to_numpy(plain(ids)), atol=0.1)


WRONG = once(
    ({"language_model": 3}, "`language_model` must be an AWDLSTM of softmax='full'. Received: language_model=3"),
    ({"num_classes": 1}, "`num_classes` must be at least 2. Received: num_classes=1"),
    ({"dropout": 1.0}, "`dropout` must be a number in .* Received: dropout=1.0"),
    ({"hidden_units": 50}, "`hidden_units` must be a sequence of integers. Received: hidden_units=50"),
    ({"hidden_units": [0]}, "`hidden_units` must be a positive integer. Received: hidden_units=0"),
    ({"max_gradient_tokens": 0}, "`max_gradient_tokens` must be a positive integer. Received: max_gradient_tokens=0"),
    ({"backwards": 1}, "`backwards` must be a boolean. Received: backwards=1"),
)


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_wrong_arguments(language_model, arguments, message):
    with pytest.raises(ValueError, match=message):
        TextClassifier(**{"language_model": language_model, "num_classes": CLASSES, **arguments})


@pytest.mark.once
def test_wrong_inputs(language_model):
    classifier = new_classifier(language_model)
    with pytest.raises(ValueError, match="`inputs` must hold integers. Received: dtype=float32"):
        classifier(np.ones((2, 3), "float32"))
    with pytest.raises(ValueError, match=r"`x` must hold token ids in \[0, 9\), .* -1 for padding. Received: 9"):
        classifier.predict(np.full((2, 3), 9), verbose=0)


@pytest.mark.once
def test_how_the_language_model_was_compiled_is_forgotten(tmp_path, language_model):
    """A metric that isn't registered would keep the classifier's file from being read."""

    def my_metric(y_true, y_pred):
        return ops.mean(y_pred)

    source = AWDLSTM.from_config(language_model.get_config())
    source.build((1, None))
    source.compile(metrics=[my_metric])
    classifier = new_classifier(source)
    classifier.compile()
    classifier.optimizer.build(classifier.trainable_variables)
    classifier.save(tmp_path / "classifier.keras")
    again = keras.saving.load_model(tmp_path / "classifier.keras")
    for one, expected in zip(again.get_weights(), classifier.get_weights(), strict=True):
        np.testing.assert_array_equal(one, expected)


@pytest.mark.once
def test_an_embedding_with_lora(language_model, rng):
    source = AWDLSTM.from_config(language_model.get_config())
    source.build((1, None))
    source.embedding.enable_lora(2)
    for variable in source.embedding.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    ids = np.array([[1, 4, 0]])
    np.testing.assert_array_equal(to_numpy(new_classifier(source).embedding(ids)), to_numpy(source.embedding(ids)))

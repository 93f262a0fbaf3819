"""Tests of fastai, PyTorch-NLP, allennlp and gluon-nlp of their parts of AWD-LSTM, applied to ours."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras import data, evaluation, layers, metrics, models, regularizers


def numpy_of(tensor):
    return ops.convert_to_numpy(tensor)


# Weight drop: fastai's `WeightDropout`, PyTorch-NLP's `WeightDropLSTM`, gluon's `WeightDropParameter`.


@pytest.fixture
def lstm():
    layer = layers.WeightDropLSTM(16, weight_drop=0.5, return_sequences=True, seed=1)
    layer.build((2, 5, 8))
    return layer


def test_weights_are_dropped_in_training_and_stay_as_they_are(lstm, rng):
    x = rng.normal(size=(2, 5, 8)).astype("float32")
    before = lstm.get_weights()
    first, second = (numpy_of(lstm(x, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_array_equal(numpy_of(lstm(x)), numpy_of(lstm(x)))
    for old, new in zip(before, lstm.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_only_what_recurs_is_dropped(lstm, rng):
    """The first step has a zero state, so it is the same with and without weight drop."""
    x = rng.normal(size=(2, 5, 8)).astype("float32")
    dropped, kept = numpy_of(lstm(x, training=True)), numpy_of(lstm(x))
    np.testing.assert_allclose(dropped[:, 0], kept[:, 0], atol=1e-6)
    assert np.abs(dropped[:, 1:] - kept[:, 1:]).max() > 1e-3


def test_the_stored_kernel_learns(lstm, rng):
    model = keras.Sequential([lstm])
    model.compile(keras.optimizers.SGD(1.0), loss="mse")
    before = lstm.get_weights()
    x = rng.normal(size=(2, 5, 8)).astype("float32")
    model.train_on_batch(x, np.ones((2, 5, 16), "float32"))
    for old, new in zip(before, lstm.get_weights(), strict=True):
        assert np.abs(old - new).max() > 0


# Locked dropout: fastai's `RNNDropout`, PyTorch-NLP's `LockedDropout`, allennlp's `InputVariationalDropout`.


def test_one_mask_for_all_steps_and_one_for_each_row():
    y = numpy_of(layers.LockedDropout(0.5, seed=1)(np.ones((4, 7, 30), "float32"), training=True))
    assert set(np.unique(y)) == {0.0, 2.0}
    assert (y == y[:, :1]).all()
    assert len(np.unique(y[:, 0], axis=0)) == 4


def test_no_mask_when_it_is_evaluated():
    x = np.ones((2, 3, 4), "float32")
    np.testing.assert_array_equal(numpy_of(layers.LockedDropout(0.5)(x)), x)


# Embedding dropout: fastai's `EmbeddingDropout`.


def test_whole_words_are_dropped_and_the_others_scaled():
    layer = layers.EmbeddingDropout(40, 6, rate=0.5, seed=1)
    ids = np.tile(np.arange(40), (2, 1))
    y, rows = numpy_of(layer(ids, training=True)), numpy_of(layer.embeddings)
    dropped = (y == 0).all(axis=-1)
    assert 5 < dropped[0].sum() < 35
    np.testing.assert_array_equal(dropped[0], dropped[1])
    np.testing.assert_allclose(y[~dropped], 2 * np.tile(rows, (2, 1, 1))[~dropped], rtol=1e-6)


# AR and TAR: fastai's `RNNRegularizer`, gluon's `ActivationRegularizationLoss` and its temporal sibling.


def test_penalties(rng):
    h = rng.normal(size=(3, 5, 4)).astype("float32")

    def penalty(regularizer):
        layer = keras.layers.Identity(activity_regularizer=regularizer)
        layer(h)
        return float(layer.losses[0])

    ar = penalty(regularizers.ActivationRegularizer(2.0))
    tar = penalty(regularizers.TemporalActivationRegularizer(3.0))
    assert ar == pytest.approx(2 * np.mean(h**2), rel=1e-5)
    assert tar == pytest.approx(3 * np.mean((h[:, 1:] - h[:, :-1]) ** 2), rel=1e-5)


# Batches of text: fastai's `LMDataLoader`, PyTorch-NLP's `BPTTBatchSampler`, gluon's `CorpusBPTTBatchify`.


@pytest.mark.parametrize("variable", [False, True])
def test_windows_go_on_where_the_last_ended_and_targets_come_one_later(variable):
    tokens = np.arange(5 * 101 + 1)
    windows = data.BPTTDataset(tokens, batch_size=5, bptt=10, variable=variable)
    x, y = (np.concatenate(parts, axis=1) for parts in zip(*(windows[i] for i in range(len(windows))), strict=True))
    np.testing.assert_array_equal(x, tokens[:-1].reshape(5, 101))
    np.testing.assert_array_equal(y, x + 1)


@pytest.mark.parametrize(("length", "windows"), [(61, 6), (62, 7), (70, 7)])
def test_a_last_window_is_shorter(length, windows):
    dataset = data.BPTTDataset(np.arange(2 * length - 1), batch_size=2, bptt=10, variable=False)
    assert len(dataset) == windows
    assert dataset.window_lengths().sum() == length - 1
    assert dataset[windows - 1][0].shape == (2, (length - 1) % 10 or 10)


# Vocabularies: allennlp's `Vocabulary`, gluon's `Vocab`, PyTorch-NLP's encoders.


def test_a_vocabulary_goes_through_a_file_and_knows_what_it_does_not_know(tmp_path):
    words = ["the", "cat", "the", "dog", "the", "cat"]
    vocabulary = data.Vocabulary.from_words([*words, data.UNK], min_count=2)
    vocabulary.save(tmp_path / "vocabulary.json")
    loaded = data.Vocabulary.load(tmp_path / "vocabulary.json")
    assert loaded == vocabulary
    assert loaded.decode(loaded.encode(words)) == ["the", "cat", "the", data.UNK, "the", "cat"]


# The model: fastai's `AWD_LSTM`, gluon's `AWDRNN`, allennlp's stateful encoders.


@pytest.fixture
def model():
    model = models.AWDLSTM(20, embedding_dim=6, hidden_units=8, num_layers=2, seed=1)
    model.build((4, None))
    return model


def test_shapes_and_tied_weights(model):
    assert tuple(model(np.zeros((4, 3), "int32")).shape) == (4, 3, 20)
    assert tuple(model(np.zeros((4, 5), "int32"), return_hidden_states=True)[1].shape) == (4, 5, 6)
    assert sum(tuple(weight.shape) in ((20, 6), (6, 20)) for weight in model.trainable_weights) == 1


def test_state_goes_on_and_is_reset_and_batches_may_shrink(model, rng):
    ids = rng.integers(0, 20, (4, 6)).astype("int32")
    whole = numpy_of(model(ids))
    model.reset_states()
    parts = [numpy_of(model(part)) for part in (ids[:, :2], ids[:, 2:])]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-5)
    model.reset_states()
    np.testing.assert_allclose(numpy_of(model(ids[:2])), whole[:2], atol=1e-5)


# Perplexity: fastai's and allennlp's `Perplexity`, gluon's evaluation.


def test_perplexity_is_the_exponential_of_the_mean_loss(rng):
    metric, losses = metrics.Perplexity(), []
    for _ in range(3):
        y, logits = rng.integers(0, 9, (2, 4)), rng.normal(size=(2, 4, 9)).astype("float32")
        metric.update_state(y, logits)
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        losses.append(-np.take_along_axis(log_p, y[..., None], -1).mean())
    assert float(metric.result()) == pytest.approx(math.exp(np.mean(losses)), rel=1e-5)
    metric.reset_state()
    metric.update_state(y, logits)
    assert float(metric.result()) == pytest.approx(math.exp(losses[-1]), rel=1e-5)


def test_a_model_that_knows_nothing_is_as_perplex_as_there_are_words(model):
    model.set_weights([0 * weight for weight in model.get_weights()])
    assert evaluation.perplexity(model, np.arange(60) % 20).perplexity == pytest.approx(20, rel=1e-4)

"""Keras's own features work with the library.

Others are tested elsewhere: `initial_epoch` with a checkpoint in callbacks/test_awd_lstm.py, `clone_model` in
test_contract.py, `export` in backend/test_export.py, the steps of accumulated gradients in optimizers/test_ntasgd.py.
"""

import csv

import keras
import numpy as np
import pytest

from awd_keras.callbacks import awd_lstm
from awd_keras.data import BPTTDataset
from awd_keras.models import AWDLSTM
from awd_keras.optimizers import NTASGD
from backends_tests import oracle
from backends_tests.helpers import values_of

WORDS, BATCH, TIME = 7, 2, 5
# Four windows for training and two for validation, of one length, so that each needs one program.
TRAIN = np.arange(BATCH * 4 * TIME + 1) % WORDS
VALID = np.arange(BATCH * 2 * TIME + 1) * 2 % WORDS
NO_MASKS = dict.fromkeys(
    ("input_dropout", "hidden_dropout", "output_dropout", "embedding_dropout", "weight_drop", "alpha", "beta"), 0.0
)


def train_set():
    return BPTTDataset(TRAIN, BATCH, bptt=TIME, variable=False)


def valid_set():
    return BPTTDataset(VALID, BATCH, bptt=TIME, variable=False)


def new_model(optimizer=None, **arguments):
    model = AWDLSTM(WORDS, **{"embedding_dim": 4, "hidden_units": 5, "num_layers": 2, "seed": 1, **arguments})
    model.compile(optimizer or NTASGD(2.0, non_monotone_interval=1))
    model.build((BATCH, None))
    return model


def fit(model, callbacks=(), **arguments):
    dataset = train_set()
    arguments = {"callbacks": [*awd_lstm(dataset), *callbacks], "verbose": 0, **arguments}
    return model.fit(dataset, validation_data=valid_set(), **arguments).history


def weights(model):
    return values_of(model.trainable_variables)


def score(model):
    return model.evaluate(valid_set(), return_dict=True, verbose=0)["perplexity"]


class Summary:
    """Replaces `tensorflow.summary`, by which Keras's TensorBoard writes on any backend. Keeps the scalars."""

    def __init__(self):
        self.scalars = {}

    def create_file_writer(self, directory):
        self.directory = directory
        return self

    def as_default(self, step=None):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def close(self):
        pass

    def scalar(self, name, value, step):
        self.scalars.setdefault(name, []).append(float(value))


def test_what_watches_an_epoch(tmp_path):
    """The best epoch is saved and restored as the average that validation read, and all logs have the same numbers."""
    board = keras.callbacks.TensorBoard(tmp_path / "board", write_graph=False)
    board._summary_module = Summary()
    callbacks = [
        # Good epochs, then steps so large that they undo the learning.
        keras.callbacks.LearningRateScheduler(lambda epoch: 2.0 if epoch < 4 else 100.0),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor="val_perplexity", save_best_only=True),
        keras.callbacks.EarlyStopping("val_perplexity", patience=3, restore_best_weights=True),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        board,
    ]
    model = new_model()
    model.optimizer.build(model.trainable_variables)
    model.optimizer.start_averaging()
    history = fit(model, callbacks, epochs=40)
    perplexities = history["val_perplexity"]
    best = int(np.argmin(perplexities))
    assert 0 < best < len(perplexities) - 1
    assert len(perplexities) == best + 4
    assert score(model) == pytest.approx(perplexities[best], rel=1e-5)
    assert score(keras.saving.load_model(tmp_path / "best.keras")) == pytest.approx(perplexities[best], rel=1e-5)
    with open(tmp_path / "log.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(len(perplexities)))
    assert [float(row["val_perplexity"]) for row in rows] == pytest.approx(perplexities)
    # The unscaled rate.
    assert [float(row["learning_rate"]) for row in rows] == [2.0] * 4 + [100.0] * (len(rows) - 4)
    scalars = board._summary_module.scalars
    assert scalars["epoch_learning_rate"] == history["learning_rate"]
    assert scalars["epoch_perplexity"] == pytest.approx(
        [value for pair in zip(history["perplexity"], perplexities, strict=True) for value in pair]
    )


def test_terminate_on_nan():
    model = new_model()
    steps = []

    class Break(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            steps.append(batch)
            if len(steps) == 6:
                model.embedding.bias.assign(np.full(WORDS, np.nan))

    fit(model, [Break(), keras.callbacks.TerminateOnNaN()], epochs=9)
    assert steps == [0, 1, 2, 3, 0, 1]


def test_train_on_batch_is_what_fit_does():
    one, other = new_model(), new_model()
    one.fit(train_set(), verbose=0)
    losses = [other.train_on_batch(x, y, return_dict=True)["loss"] for x, y in train_set()]
    assert len(losses) == 4
    for a, b in zip(weights(one), weights(other), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_steps_per_epoch_changes_nothing_but_what_an_epoch_is():
    """Two epochs of two windows have the same masks, carried state and weights as one epoch of four."""
    one, other = new_model(), new_model()
    fit(one, epochs=2)
    history = fit(other, epochs=4, steps_per_epoch=2)
    assert len(history["val_perplexity"]) == 4
    assert int(one.optimizer.iterations) == int(other.optimizer.iterations) == 8
    one.optimizer.use_iterates()
    other.optimizer.use_iterates()
    for a, b in zip(weights(one), weights(other), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_gradient_accumulation_equals_numpy():
    """The step uses the mean of two windows' gradients. The second window begins with the first one's last state."""
    rate, decay = 0.5, 1e-2
    optimizer = NTASGD(rate, weight_decay=decay, global_clipnorm=None, gradient_accumulation_steps=2)
    model = new_model(optimizer, **NO_MASKS)
    reference = oracle.AWDLSTM(weights(model), BATCH)
    fit(model)
    gradients = []
    for x, y in train_set():
        gradients.append(reference.loss_and_gradients(x, y)[2])
        if len(gradients) == 2:
            means = [np.mean(pair, axis=0) for pair in zip(*gradients, strict=True)]
            reference.weights = [w - rate * (g + decay * w) for w, g in zip(reference.weights, means, strict=True)]
            gradients.clear()
    for actual, expected in zip(weights(model), reference.weights, strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-5)

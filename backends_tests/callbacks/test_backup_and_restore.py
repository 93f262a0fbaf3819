"""Keras's `BackupAndRestore` with our callbacks: an interrupted `fit` continues to the last bit."""

import functools

import keras
import numpy as np
import pytest

from awd_keras.callbacks import NonMonotonicTrigger, SwapAveragedWeights, awd_lstm
from awd_keras.data import BPTTDataset
from awd_keras.models import AWDLSTM
from awd_keras.optimizers import NTASGD
from backends_tests.helpers import once, values_of

EPOCHS = 5


def make_data():
    rng = np.random.default_rng(1)
    p = np.arange(1.0, 10.0) / 45
    # As in runs/small_run.py: windows of 5 and 11 tokens, and validation gets worse from epoch to epoch.
    train = BPTTDataset(rng.choice(9, size=65, p=p), 4, bptt=10, seed=410)
    valid = BPTTDataset(rng.choice(9, size=41, p=p[::-1]), 4, bptt=10, variable=False)
    return train, valid


class Interrupt(keras.callbacks.Callback):
    """Ends `fit` in the second step of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = self.current = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.current = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.current == self.epoch and batch == 1:
            raise RuntimeError("interrupted")


class Rates(keras.callbacks.Callback):
    """Records each step's rate, and the unscaled rate at the epoch's end."""

    def __init__(self):
        super().__init__()
        self.rates = []

    def on_train_batch_begin(self, batch, logs=None):
        self.rates.append(float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))

    def on_epoch_end(self, epoch, logs=None):
        self.on_train_batch_begin(0)


def train(make_callbacks, backup=None, interrupt=None):
    """What one process does: it builds everything again, and trains until interrupted or to the end."""
    keras.utils.set_random_seed(3)
    data, valid = make_data()
    model = AWDLSTM(9, embedding_dim=6, hidden_units=8, num_layers=1, seed=7)
    model.compile(NTASGD(learning_rate=2.0, non_monotone_interval=1))
    model.build((4, None))
    history, rates = keras.callbacks.History(), Rates()
    callbacks = [*make_callbacks(data, valid), rates, history]
    if backup is not None:
        callbacks.append(keras.callbacks.BackupAndRestore(str(backup)))
    if interrupt is not None:
        callbacks.append(Interrupt(interrupt))
    try:
        model.fit(data, validation_data=valid, epochs=EPOCHS, callbacks=callbacks, verbose=0)
    except RuntimeError as error:
        if "interrupted" not in str(error):
            raise
    return model, history.history, rates.rates


def state(model):
    variables = [v for v in model.variables + model.optimizer.variables if "training" not in v.path]
    return values_of((*variables, *model.optimizer._iterates))


def usual(data, valid):
    return awd_lstm(data)


def every_three_steps(data, valid):
    trigger = NonMonotonicTrigger("val_perplexity", frequency=3, validation_data=valid)
    return [*awd_lstm(data)[:2], trigger, SwapAveragedWeights()]


@pytest.fixture(scope="module")
def uninterrupted():
    return functools.cache(train)


# Averaging begins at the end of the third epoch. The interruption is before that epoch, right after it, or later.
@pytest.mark.parametrize(
    ("make_callbacks", "epoch"), [*once((usual, 1), (usual, 2)), (usual, 3), *once((usual, 4), (every_three_steps, 1))]
)
def test_goes_on_bit_for_bit(uninterrupted, tmp_path, make_callbacks, epoch):
    whole, history, rates = uninterrupted(make_callbacks)
    _, first, first_rates = train(make_callbacks, tmp_path, interrupt=epoch)
    model, second, second_rates = train(make_callbacks, tmp_path)
    assert {key: first[key] + second[key] for key in second} == history
    # The two steps of the epoch that was interrupted were run twice.
    assert first_rates[: 3 * epoch] + second_rates == rates
    for one, other in zip(state(whole), state(model), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_training_is_worth_restoring(uninterrupted):
    model, history, rates = uninterrupted(usual)
    assert history["val_perplexity"][:3] == sorted(history["val_perplexity"][:3])
    assert int(keras.ops.convert_to_numpy(model.optimizer._num_averaged)) == 1 + 2 * (EPOCHS - 3)
    assert model.optimizer.averages_in_model
    assert sorted(set(rates)) == pytest.approx([1.0, 2.0, 2.2])

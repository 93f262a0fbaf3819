"""All callbacks together, on a model that carries state."""

import keras
import numpy as np
import pytest

from awd_keras.callbacks import (
    NonMonotonicTrigger,
    ResetStates,
    ScaleLearningRate,
    SwapAveragedWeights,
    SynchronizeReplicas,
    awd_lstm,
)
from awd_keras.data import BPTTDataset
from awd_keras.layers import WeightDropLSTM
from awd_keras.metrics import Perplexity
from awd_keras.optimizers import NTASGD
from backends_tests.helpers import once

# Counting up for training, counting down for validation: a model that learns the one gets worse at the other.
TOKENS = np.arange(200) % 7
VALIDATION_TOKENS = -np.arange(41) % 7


def new_model():
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((None,), batch_size=4, dtype="int32"),
            keras.layers.Embedding(7, 5),
            WeightDropLSTM(5, weight_drop=0.0, stateful=True, return_sequences=True),
            keras.layers.Dense(7),
        ]
    )
    model.compile(
        NTASGD(learning_rate=5.0, non_monotone_interval=1),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[Perplexity()],
    )
    return model


def fit(model, epochs, initial_epoch=0, callbacks=()):
    # Two lengths, 20 and 9: few programs to compile.
    train = BPTTDataset(TOKENS, batch_size=4, bptt=20, variable=False)
    valid = BPTTDataset(VALIDATION_TOKENS, batch_size=2, bptt=20, variable=False)
    return model.fit(
        train,
        validation_data=valid,
        epochs=epochs,
        initial_epoch=initial_epoch,
        callbacks=[*awd_lstm(train), *callbacks],
        verbose=0,
    ).history


@pytest.mark.once
def test_the_list():
    dataset = BPTTDataset(TOKENS, batch_size=2)
    callbacks = awd_lstm(dataset)
    types = [ScaleLearningRate, ResetStates, NonMonotonicTrigger, SwapAveragedWeights, SynchronizeReplicas]
    assert [type(callback) for callback in callbacks] == types
    for stop in (False, True):
        assert awd_lstm(dataset, stop_training=stop)[2].stop_training is stop
    assert callbacks[2].stop_training is False
    assert callbacks[0].dataset is callbacks[-1].dataset is dataset


def test_an_interrupted_training_equals_a_whole_one(tmp_path):
    whole = new_model()
    path = tmp_path / "{epoch}.keras"
    history = fit(whole, 4, callbacks=[keras.callbacks.ModelCheckpoint(path)])
    assert history["val_perplexity"][2] > history["val_perplexity"][0]
    assert whole.optimizer.averaging
    loaded = keras.saving.load_model(tmp_path / "3.keras")
    rest = fit(loaded, 4, initial_epoch=3)
    for key in ("val_perplexity", "val_loss", "perplexity"):
        np.testing.assert_allclose(rest[key], history[key][3:], rtol=1e-5)
    for a, b in zip(loaded.optimizer.variables, whole.optimizer.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-5)
    for _ in ("averages", "iterates"):
        for a, b in zip(loaded.get_weights(), whole.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
        loaded.optimizer.use_iterates()
        whole.optimizer.use_iterates()


@pytest.mark.once
def test_not_a_dataset():
    with pytest.raises(ValueError, match="Argument `dataset` must be"):
        awd_lstm(TOKENS)


@pytest.mark.parametrize("optimizer", ["adam", *once("sgd")])
def test_another_optimizer_does_without_averages(optimizer):
    """It trains as with only the callbacks that it can use, and without a warning."""
    models = new_model(), new_model()
    train = BPTTDataset(TOKENS, batch_size=4, bptt=20, variable=False)
    valid = BPTTDataset(VALIDATION_TOKENS, batch_size=2, bptt=20, variable=False)
    for model, callbacks in zip(models, (awd_lstm, lambda dataset: awd_lstm(dataset)[:2]), strict=True):
        model.compile(optimizer, model.loss, metrics=[Perplexity()])
        model.fit(train, validation_data=valid, epochs=3, callbacks=callbacks(train), verbose=0)
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)
    assert int(models[0].optimizer.iterations) == 3 * len(train)


@pytest.mark.once
def test_averaging_is_missed_where_it_is_asked_for():
    """A callback that is made directly needs `NTASGD`, and NT-ASGD's trigger needs its measure."""
    train = BPTTDataset(TOKENS, batch_size=4, bptt=20, variable=False)
    model = new_model()
    with pytest.warns(UserWarning, match="val_perplexity"):
        model.fit(train, callbacks=awd_lstm(train), verbose=0)
    model.compile("adam", model.loss)
    model.fit(train, callbacks=awd_lstm(train), verbose=0)
    for callback in (NonMonotonicTrigger(), SwapAveragedWeights()):
        with pytest.raises(ValueError, match=r"NTASGD.*`awd_lstm\(dataset\)` work with any.* Received: .*Adam"):
            model.fit(train, callbacks=[callback], verbose=0)

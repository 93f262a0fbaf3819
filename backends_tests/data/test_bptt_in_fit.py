"""What `fit` reads from a dataset, with any model: each window once, in order, with the epoch's lengths."""

import keras
import numpy as np
import pytest

from awd_keras.data import BPTTDataset
from awd_keras.models import AWDLSTM
from backends_tests.helpers import once


class LengthLog(keras.callbacks.Callback):
    """Records the windows that the dataset gave in each epoch of a `fit`, and the dataset's epoch."""

    def __init__(self, dataset):
        super().__init__()
        self.dataset = dataset
        self.epochs = []
        self.served = []
        self.running = False
        original = type(dataset).__getitem__
        log = self

        class Logged(type(dataset)):
            def __getitem__(self, index):
                x, y = original(self, index)
                if log.running:
                    log.served[-1].append((index, x.shape[1]))
                return x, y

        dataset.__class__ = Logged

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs.append(self.dataset.epoch)
        self.served.append([])
        self.running = True

    def on_epoch_end(self, epoch, logs=None):
        self.running = False

    def check(self, dataset, epochs):
        assert self.epochs == epochs
        for epoch, served in zip(epochs, self.served, strict=True):
            assert served == list(enumerate(dataset.window_lengths(epoch)))


def compiled(layers, built=False):
    model = keras.Sequential(layers)
    if built:
        model.build((None, None))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def lstm_model():
    lstm = keras.layers.LSTM(4, return_sequences=True)
    return compiled([keras.layers.Embedding(11, 3), lstm, keras.layers.Dense(11)])


def bigram_model(built=False):
    """A model that needs little compiling for each length."""
    return compiled([keras.layers.Embedding(11, 11)], built)


def test_fit_with_equal_first_lengths():
    """On TensorFlow, Keras would assume that all windows have this length."""
    tokens = np.arange(2 * 40 + 1) % 11
    for seed in range(400):
        dataset = BPTTDataset(tokens, 2, bptt=10, seed=seed)
        first, second, *others = dataset.window_lengths()
        if first == second and len(set(others) - {first}):
            break
    assert first == second
    log = LengthLog(dataset)
    lstm_model().fit(dataset, verbose=0, callbacks=[log])
    log.check(dataset, [0])


def test_fit_with_all_lengths_equal_in_an_epoch():
    tokens = np.arange(2 * 20 + 1) % 11
    datasets = (BPTTDataset(tokens, 2, bptt=10, seed=seed) for seed in range(400))
    dataset = next(d for d in datasets if d.window_lengths(0).tolist() == [10, 10])
    assert dataset.window_lengths(1).tolist() != [10, 10]
    log = LengthLog(dataset)
    bigram_model().fit(dataset, epochs=2, verbose=0, callbacks=[log])
    log.check(dataset, [0, 1])


def test_models_see_the_batch_size():
    """A carried state needs it, in compiled functions too. On TensorFlow, Keras would hide it."""

    class Seen(keras.layers.Layer):
        def call(self, x):
            seen.append(x.shape[0])
            return x

    seen = []
    model = compiled([keras.layers.Embedding(11, 11), Seen()])
    model.fit(BPTTDataset(np.arange(61) % 11, 2, bptt=10, variable=False), verbose=0)
    assert set(seen) == {2}


def test_tensorflow_tunes_nothing():
    """Its tuner sleeps for up to a minute, and the end of an epoch would wait for it."""
    dataset = BPTTDataset(np.arange(21), 2, bptt=5)
    if keras.backend.backend() == "tensorflow":
        assert dataset.get_tf_dataset().options().autotune.enabled is False
    else:
        with pytest.raises(ImportError, match="tensorflow"):
            dataset.get_tf_dataset()


def test_fit_and_evaluate_with_fixed_lengths():
    # Two windows of 20, then one of 7; three of 20 and one of 10.
    tokens = np.arange(47 * 3 + 1) % 11
    train = BPTTDataset(tokens, 3, bptt=20, variable=False)
    valid = BPTTDataset(tokens, 2, bptt=20, variable=False)
    history = bigram_model().fit(train, validation_data=valid, epochs=2, verbose=0).history
    assert len(history["val_loss"]) == 2
    assert np.isfinite(history["val_loss"]).all()


@pytest.mark.parametrize("arguments", [{}, *once({"shuffle": True}, {"shuffle": False})])
def test_fit_keeps_the_order(arguments):
    """By default, Keras would shuffle."""
    dataset = BPTTDataset(np.arange(193) % 11, 2, bptt=8, variable=False)
    log = LengthLog(dataset)
    bigram_model().fit(dataset, epochs=2, verbose=0, callbacks=[log], **arguments)
    log.check(dataset, [0, 1])


@pytest.mark.parametrize("built", [False, True])
def test_fit_counts_epochs(built):
    dataset = BPTTDataset(np.arange(61) % 11, 2, bptt=10)
    log = LengthLog(dataset)
    model = bigram_model(built)
    model.fit(dataset, epochs=2, verbose=0, callbacks=[log])
    log.check(dataset, [0, 1])
    # The next `fit` continues. Reading the last window outside of `fit` doesn't count as an epoch.
    assert dataset.epoch == 2
    dataset[len(dataset) - 1]
    model.fit(dataset, verbose=0, callbacks=[log])
    log.check(dataset, [0, 1, 2])


def test_a_callback_sets_the_epoch():
    dataset = BPTTDataset(np.arange(61) % 11, 2, bptt=10)
    log = LengthLog(dataset)
    setter = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: dataset.set_epoch(epoch))
    bigram_model().fit(dataset, initial_epoch=5, epochs=7, verbose=0, callbacks=[setter, log])
    log.check(dataset, [5, 6])


def test_an_interrupted_epoch_begins_again():
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    dataset = BPTTDataset(np.arange(61) % 11, 2, bptt=10)
    model = bigram_model()
    with pytest.raises(KeyboardInterrupt):
        model.fit(dataset, verbose=0, callbacks=[Stop()])
    log = LengthLog(dataset)
    model.fit(dataset, epochs=2, verbose=0, callbacks=[log])
    assert log.epochs == [0, 1]


@pytest.mark.once
def test_what_fit_would_ignore_is_refused():
    """Keras refuses these, or heeds them, only for datasets that it shuffles itself."""
    dataset = BPTTDataset(np.arange(101) % 9, batch_size=4, bptt=5, variable=False)
    model = AWDLSTM(9, embedding_dim=4, hidden_units=6, num_layers=1)
    model.compile()
    ones = np.ones((4, 5), "int32")
    for name, value in (("y", ones), ("sample_weight", ones), ("class_weight", {0: 2.0})):
        with pytest.raises(ValueError, match=f"`{name}` must be None if `x` is a BPTTDataset.* Received: {name} of"):
            model.fit(dataset, verbose=0, **{name: value})
    for name in ("y", "sample_weight"):
        with pytest.raises(ValueError, match=f"`{name}` must be None if `x` is a BPTTDataset"):
            model.evaluate(dataset, verbose=0, **{name: ones})

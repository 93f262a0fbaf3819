"""`ScaleLearningRate`: the learning rate that each step really uses."""

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras.callbacks import ScaleLearningRate
from awd_keras.data import BPTTDataset
from awd_keras.models import AWDLSTM
from awd_keras.optimizers import NTASGD
from backends_tests.helpers import once


def new_dataset(length_multiple=10, **arguments):
    # Few lengths, as JAX and XLA compile a program for each.
    return BPTTDataset(np.arange(441) % 7, 2, bptt=20, length_multiple=length_multiple, **arguments)


class HalfWindows:
    """A dataset whose windows all have half the usual length."""

    def __init__(self, dataset):
        self.dataset = dataset
        self.set_epoch = dataset.set_epoch
        self.window_lengths = dataset.window_lengths
        self.bptt = 2 * dataset.bptt

    @property
    def in_epoch(self):
        return self.dataset.in_epoch


class Counter(keras.layers.Layer):
    """A layer with one weight, and a loss whose gradient is 1 for any batch."""

    def build(self, input_shape):
        self.weight = self.add_weight(shape=(), initializer="zeros", name="weight")

    def call(self, inputs):
        return self.weight + 0.0 * ops.cast(inputs, "float32")


def mean_output(y_true, y_pred):
    return ops.mean(y_pred)


def new_model(optimizer, **arguments):
    model = keras.Sequential([keras.Input((None,), dtype="int32"), Counter()])
    model.compile(optimizer, loss=mean_output, **arguments)
    return model


def new_ntasgd(**arguments):
    return NTASGD(weight_decay=None, global_clipnorm=None, **{"learning_rate": 0.5, **arguments})


class Look(keras.callbacks.Callback):
    """Records the weight after each step, and the rate that other callbacks see."""

    def __init__(self):
        super().__init__()
        self.weights = [0.0]
        self.rates = []

    def rate(self):
        return float(ops.convert_to_numpy(self.model.optimizer.learning_rate))

    def on_epoch_begin(self, epoch, logs=None):
        self.rates.append(self.rate())

    def on_train_batch_end(self, batch, logs=None):
        self.weights.append(float(self.model.get_weights()[0]))
        self.rates.append(self.rate())

    def on_epoch_end(self, epoch, logs=None):
        self.rates.append(self.rate())

    @property
    def used(self):
        return -np.diff(self.weights)


def fit(model, dataset, callbacks=None, **arguments):
    look = Look()
    callbacks = callbacks or [ScaleLearningRate(dataset)]
    model.fit(dataset, callbacks=[*callbacks, look], verbose=0, **arguments)
    return look


@pytest.mark.parametrize("loss_scaling", [False, True])
def test_the_rate_really_used(loss_scaling):
    dataset = new_dataset()
    optimizer = new_ntasgd()
    if loss_scaling:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    look = fit(new_model(optimizer), dataset, epochs=2)
    lengths = [dataset.window_lengths(epoch) for epoch in range(2)]
    assert len(set(lengths[0])) > 1
    assert not np.array_equal(lengths[0], lengths[1])
    # `atol`, as the weight is float32 and becomes about 10.
    np.testing.assert_allclose(look.used, 0.5 * np.concatenate(lengths) / 20, atol=1e-5)
    assert set(look.rates) == {0.5}


def test_any_optimizer_and_initial_epoch():
    dataset = new_dataset()
    look = fit(new_model(keras.optimizers.SGD(0.25)), dataset, epochs=5, initial_epoch=4)
    assert dataset.epoch >= 4
    np.testing.assert_allclose(look.used, 0.25 * dataset.window_lengths(4) / 20, atol=1e-5)


def test_schedulers_change_the_rate_that_is_scaled():
    dataset = new_dataset()
    callbacks = [
        ScaleLearningRate(dataset),
        keras.callbacks.LearningRateScheduler(lambda epoch: 0.5 / (epoch + 1)),
    ]
    look = fit(new_model(new_ntasgd()), dataset, callbacks, epochs=2)
    rates = 0.5 * dataset.window_lengths(0) / 20, 0.25 * dataset.window_lengths(1) / 20
    np.testing.assert_allclose(look.used, np.concatenate(rates), atol=1e-5)
    assert set(look.rates) == {0.5, 0.25}


def log_windows(dataset):
    """Records each window that is read: the epoch, the place and the length."""
    served = []

    class Logged(type(dataset)):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            served.append((self.epoch, index, x.shape[1]))
            return x, y

    dataset.__class__ = Logged
    return served


def windows(dataset, epoch):
    return [(epoch, *window) for window in enumerate(dataset.window_lengths(epoch))]


@pytest.mark.parametrize(("initial_epoch", "passes"), [(0, (0, 1)), (4, (1, 2))])
def test_steps_per_epoch(initial_epoch, passes):
    """Epochs of 4, 4 and 3 windows are one pass over the text, with the lengths and the rates of one epoch."""
    dataset, valid = new_dataset(), new_dataset(variable=False, length_multiple=1)
    assert len(dataset) == 11
    model = new_model(new_ntasgd())
    served = log_windows(dataset)
    arguments = {"epochs": initial_epoch + 6, "initial_epoch": initial_epoch, "steps_per_epoch": 4}
    with pytest.warns(UserWarning, match="ran out of data"):  # Keras warns of the shorter epochs
        look = fit(model, dataset, validation_data=valid, **arguments)
    expected = [window for number in passes for window in windows(dataset, number)]
    # TensorFlow reads the first window before, to know its shape, and may have read ahead.
    assert served[len(served) - len(expected) :] == expected
    lengths = [length for _, _, length in expected]
    np.testing.assert_allclose(look.used, 0.5 * np.array(lengths) / 20, atol=1e-5)


@pytest.mark.once
def test_steps_per_epoch_without_the_callback():
    """The dataset counts passes, even if a window is read between two epochs, ahead of the second one."""
    dataset, valid = new_dataset(), new_dataset(variable=False, length_multiple=1)
    model = new_model(new_ntasgd())
    served = log_windows(dataset)
    with pytest.warns(UserWarning, match="ran out of data"):
        model.fit(dataset, validation_data=valid, epochs=6, steps_per_epoch=4, verbose=0)
    expected = windows(dataset, 0) + windows(dataset, 1)
    assert served[len(served) - len(expected) :] == expected
    assert dataset.epoch == 2


def test_with_gradient_accumulation_the_last_window_counts():
    dataset = new_dataset()
    look = fit(new_model(new_ntasgd(gradient_accumulation_steps=2)), dataset)
    expected = 0.5 * dataset.window_lengths(0) / 20
    expected[::2] = 0
    np.testing.assert_allclose(look.used, expected, atol=1e-5)


@pytest.mark.parametrize("same_callback", [True, *once(False)])
@pytest.mark.parametrize("rate_set_meanwhile", [None, *once(0.125)])
def test_an_exception_in_a_step_leaves_no_scaled_rate(same_callback, rate_set_meanwhile):
    class Stop(Exception):
        pass

    class Stopper(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 2:
                raise Stop

    dataset = new_dataset(length_multiple=1, variable=False)
    model = new_model(new_ntasgd())
    scale = ScaleLearningRate(HalfWindows(dataset))
    with pytest.raises(Stop):
        fit(model, dataset, [scale, Stopper()])
    if rate_set_meanwhile:
        model.optimizer.learning_rate = rate_set_meanwhile
    else:
        assert float(model.optimizer.learning_rate) == 0.25
    look = fit(model, dataset, [scale if same_callback else ScaleLearningRate(dataset)])
    assert set(look.rates) == {rate_set_meanwhile or 0.5}


@pytest.mark.once
def test_an_interrupted_model_is_saved_with_its_own_rate():
    class Stopper(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            raise KeyboardInterrupt

    dataset = BPTTDataset(np.arange(200) % 9, batch_size=2, bptt=20, variable=False)
    model = AWDLSTM(9, embedding_dim=4, hidden_units=4, num_layers=1)
    model.compile(keras.optimizers.SGD(0.5))
    with pytest.raises(KeyboardInterrupt):
        model.fit(dataset, callbacks=[ScaleLearningRate(HalfWindows(dataset)), Stopper()], verbose=0)
    assert float(model.optimizer.learning_rate) == 0.5


# Bad input


def test_steps_per_execution():
    dataset = new_dataset()
    # The error comes before Keras builds a function of several steps, which isn't possible on PyTorch.
    model = new_model(new_ntasgd())
    model.make_train_function()
    model.steps_per_execution = 2
    scale = ScaleLearningRate(dataset)
    scale.set_model(model)
    scale.set_params({"steps": len(dataset)})
    with pytest.raises(ValueError, match="`steps_per_execution` must be 1 .* Received.*=2"):
        scale.on_train_begin()


@pytest.mark.once
def test_a_schedule_cannot_be_scaled():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.9)
    with pytest.raises(ValueError, match="`learning_rate` must be a float"):
        fit(new_model(new_ntasgd(learning_rate=schedule)), new_dataset())


@pytest.mark.once
def test_another_dataset():
    # A dataset that another `fit` has left in the middle of a pass.
    known = new_dataset()
    fit(new_model(new_ntasgd()), known, steps_per_epoch=2)
    model = new_model(new_ntasgd())
    for other in (new_dataset(), BPTTDataset(np.arange(99) % 7, batch_size=2, bptt=20)):
        with pytest.raises(ValueError, match="must be given the dataset that is passed to `fit`. Received: dataset="):
            fit(model, other, [ScaleLearningRate(known)])
    assert model.get_weights()[0] == 0


@pytest.mark.once
def test_not_a_dataset():
    with pytest.raises(ValueError, match="Argument `dataset` must be .* Received: ndarray"):
        ScaleLearningRate(np.arange(3))

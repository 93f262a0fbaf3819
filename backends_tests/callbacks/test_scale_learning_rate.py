"""The learning rate that a step has really used."""

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras.callbacks import ScaleLearningRate
from awd_keras.data import BPTTDataset
from awd_keras.optimizers import NTASGD


def new_dataset(length_multiple=10, **arguments):
    # Few lengths, as JAX and XLA compile a program for each.
    return BPTTDataset(np.arange(401) % 7, 2, bptt=20, length_multiple=length_multiple, **arguments)


class HalfWindows:
    """The dataset, but for windows that are half as long as the usual one."""

    def __init__(self, dataset):
        self.dataset = dataset
        self.set_epoch = dataset.set_epoch
        self.window_lengths = dataset.window_lengths
        self.bptt = 2 * dataset.bptt

    def __len__(self):
        return len(self.dataset)


class Counter(keras.layers.Layer):
    """One weight, and a loss whose gradient is 1, whatever the batch is."""

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
    """The weight after each step, and the rate that others see."""

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
    # The weight, some 10 at last, is float32.
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


def test_with_gradient_accumulation_the_last_window_counts():
    dataset = new_dataset()
    look = fit(new_model(new_ntasgd(gradient_accumulation_steps=2)), dataset)
    expected = 0.5 * dataset.window_lengths(0) / 20
    expected[::2] = 0
    np.testing.assert_allclose(look.used, expected, atol=1e-5)


@pytest.mark.parametrize("same_callback", [True, False])
@pytest.mark.parametrize("rate_set_meanwhile", [None, 0.125])
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


# Bad input


def test_steps_per_execution():
    dataset = new_dataset()
    # Read before Keras builds a function of several steps, which it doesn't have on PyTorch.
    model = new_model(new_ntasgd())
    model.make_train_function()
    model.steps_per_execution = 2
    scale = ScaleLearningRate(dataset)
    scale.set_model(model)
    scale.set_params({"steps": len(dataset)})
    with pytest.raises(ValueError, match="`steps_per_execution` must be 1 .* Received.*=2"):
        scale.on_train_begin()


def test_a_schedule_cannot_be_scaled():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.9)
    with pytest.raises(ValueError, match="`learning_rate` must be a float"):
        fit(new_model(new_ntasgd(learning_rate=schedule)), new_dataset())


def test_steps_per_epoch():
    with pytest.raises(ValueError, match="without `steps_per_epoch`. Received: 3 steps an epoch"):
        fit(new_model(new_ntasgd()), new_dataset(), steps_per_epoch=3)


def test_another_dataset():
    other = BPTTDataset(np.arange(99) % 7, batch_size=2, bptt=20)
    with pytest.raises(ValueError, match="knows a dataset of"):
        fit(new_model(new_ntasgd()), other, [ScaleLearningRate(new_dataset())])


def test_not_a_dataset():
    with pytest.raises(TypeError, match="Argument `dataset` must be .* Received: dataset=array"):
        ScaleLearningRate(np.arange(3))

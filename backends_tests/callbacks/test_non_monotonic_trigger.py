"""`NonMonotonicTrigger`: which measures the optimizer gets, and when."""

import warnings

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras.callbacks import NonMonotonicTrigger, SwapAveragedWeights, awd_lstm
from awd_keras.data import BPTTDataset
from awd_keras.optimizers import NTASGD
from backends_tests.helpers import once

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)).astype("float32")
Y = RNG.normal(size=(40, 2)).astype("float32")
VALIDATION = X[:8], Y[:8]
DATASET = BPTTDataset(np.arange(100), 2)


class Listening(NTASGD):
    """Records the measures that it gets."""

    def update_trigger(self, measure):
        self.__dict__.setdefault("heard", []).append((int(self.iterations), measure))
        return super().update_trigger(measure)


def new_model(optimizer=None, **arguments):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    optimizer = optimizer or Listening(learning_rate=0.1)
    model.compile(optimizer, loss="mse", metrics=["mae"], **arguments)
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model, callbacks, epochs=2, **arguments):
    """Fits with five steps in each epoch."""
    return model.fit(X, Y, 8, epochs=epochs, callbacks=callbacks, shuffle=False, verbose=0, **arguments).history


@pytest.mark.parametrize("monitor", ["val_loss", *once("val_mae", "loss")])
def test_each_epoch(monitor):
    model = new_model()
    history = fit(model, [NonMonotonicTrigger(monitor)], validation_data=VALIDATION)
    assert model.optimizer.heard == [(5, history[monitor][0]), (10, history[monitor][1])]


def test_loss_scaling():
    optimizer = Listening(learning_rate=0.1)
    model = new_model(keras.optimizers.LossScaleOptimizer(optimizer))
    fit(model, [NonMonotonicTrigger("val_loss")], validation_data=VALIDATION)
    assert [step for step, _ in optimizer.heard] == [5, 10]


@pytest.mark.once
def test_averaging_starts_at_the_epoch_s_end():
    model = new_model(NTASGD(learning_rate=0.1, non_monotone_interval=1))
    # The targets are the untrained model's predictions, so that training makes validation worse.
    data = {"validation_data": (X, model.predict(X, verbose=0))}
    averaging = []
    look = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: averaging.append(model.optimizer.averaging)
    )
    history = fit(model, [NonMonotonicTrigger("val_loss"), look, SwapAveragedWeights()], epochs=4, **data)
    assert history["val_loss"][2] > history["val_loss"][0]
    assert averaging == [False, False, False, True]


@pytest.mark.once
def test_an_average_that_nobody_uses_warns():
    model = new_model(NTASGD(learning_rate=0.1, non_monotone_interval=1))
    trigger, swap = NonMonotonicTrigger("val_loss"), SwapAveragedWeights()
    data = {"validation_data": (X, model.predict(X, verbose=0))}
    fit(model, [trigger], **data)  # averaging hasn't begun yet
    with pytest.warns(UserWarning, match="raw iterate in the model.*`SwapAveragedWeights`.*use_averages"):
        fit(model, [trigger], **data)
    assert model.optimizer.averaging
    # Warnings are errors here.
    for callbacks in ([trigger, swap], [swap, trigger]):
        fit(model, callbacks, epochs=1, **data)
        fit(model, callbacks, epochs=0, **data)


@pytest.mark.parametrize(
    ("averaging", "stop_training", "epochs"),
    [
        (False, True, 4),  # the third measure starts averaging, and the next one is worse too
        *once(
            (True, True, 3),  # worse than the first
            (True, False, 6),
            (False, False, 6),
        ),
    ],
)
def test_stops_training(averaging, stop_training, epochs):
    model = new_model(NTASGD(learning_rate=0.1, non_monotone_interval=1))
    # The targets are the untrained model's predictions, so that training makes validation worse.
    data = {"validation_data": (X, model.predict(X, verbose=0))}
    if averaging:
        model.optimizer.start_averaging()
    trigger = NonMonotonicTrigger("val_loss", stop_training=stop_training)
    history = fit(model, [trigger, SwapAveragedWeights()], epochs=6, **data)
    assert history["val_loss"] == sorted(history["val_loss"])
    assert len(history["val_loss"]) == epochs


@pytest.mark.once
def test_stops_training_in_the_middle_of_an_epoch():
    model = new_model(Listening(learning_rate=0.1, non_monotone_interval=1))
    worse = X, model.predict(X, verbose=0)
    model.optimizer.start_averaging()
    fit(model, [NonMonotonicTrigger("val_loss", 2, worse, stop_training=True), SwapAveragedWeights()], epochs=6)
    assert [step for step, _ in model.optimizer.heard] == [2, 4, 6]
    assert int(model.optimizer.iterations) == 6


@pytest.mark.once
@pytest.mark.parametrize("logs", [{}, {"validation_data": VALIDATION}])
def test_a_missing_monitor_warns(logs):
    model = new_model()
    with pytest.warns(UserWarning, match="`val_perplexity` which is not available.*: .*loss,mae"):
        fit(model, [NonMonotonicTrigger()], epochs=1, **logs)
    with pytest.warns(UserWarning, match="`perplexity` which is not available.*: loss,mae"):
        fit(model, [NonMonotonicTrigger(frequency=4, validation_data=VALIDATION)], epochs=1)
    assert not hasattr(model.optimizer, "heard")


@pytest.mark.once
def test_a_missing_monitor_is_no_fault_once_averaging_has_begun():
    model = new_model()
    model.optimizer.start_averaging()
    for logs in ({}, {"validation_data": VALIDATION}):
        fit(model, [NonMonotonicTrigger(), SwapAveragedWeights()], epochs=1, **logs)  # warnings are errors
        with pytest.warns(UserWarning, match="`val_perplexity` which is not available, so that training won't be stop"):
            fit(model, [NonMonotonicTrigger(stop_training=True), SwapAveragedWeights()], epochs=1, **logs)


def of_the_trigger(caught):
    return [warning for warning in caught if "NT-ASGD" in str(warning.message)]


@pytest.mark.once
def test_a_missing_monitor_is_told_of_when_it_is_first_missed_and_once():
    told = []

    class Tell(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            told.append(len(of_the_trigger(caught)))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(new_model(), [NonMonotonicTrigger(), Tell()], epochs=3, validation_data=VALIDATION)
    assert told == [1, 1, 1]
    assert len(of_the_trigger(caught)) == 1


# frequency=L


def test_each_l_steps_counted_over_epochs_and_fits():
    model = new_model()
    trigger = NonMonotonicTrigger("val_loss", frequency=3, validation_data=VALIDATION)
    fit(model, [trigger])
    fit(model, [NonMonotonicTrigger("val_loss", frequency=3, validation_data=VALIDATION)])
    assert [step for step, _ in model.optimizer.heard] == [3, 6, 9, 12, 15, 18]


def test_steps_are_counted_with_gradient_accumulation():
    model = new_model(Listening(learning_rate=0.1, gradient_accumulation_steps=2))
    for _ in range(2):
        fit(model, [NonMonotonicTrigger("val_loss", 4, VALIDATION)])
    assert [step for step, _ in model.optimizer.heard] == [2, 4, 6, 8, 10]


def test_training_is_not_disturbed():
    plain, listened = new_model(), new_model()
    seen = {"plain": [], "listened": []}

    def look(name):
        return keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen[name].append(dict(logs)))

    validation = {"validation_data": VALIDATION}
    trigger = NonMonotonicTrigger("val_loss", 2, (X[:16], Y[:16]))
    history = fit(listened, [trigger, look("listened")], **validation)
    assert fit(plain, [look("plain")], **validation) == history
    # The running means are right in the steps after an evaluation too.
    assert seen["listened"] == seen["plain"]
    assert len(listened.optimizer.heard) == 5
    for a, b in zip(plain.get_weights(), listened.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_measures_are_those_of_the_weights_at_that_step():
    model = new_model()
    expected = []

    class Evaluate(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch % 2 == 1:
                weights = self.model.get_weights()
                expected.append(np.abs(VALIDATION[0] @ weights[0] + weights[1] - VALIDATION[1]))

    fit(model, [Evaluate(), NonMonotonicTrigger("val_mae", 2, VALIDATION)], epochs=1)
    measures = [measure for _, measure in model.optimizer.heard]
    np.testing.assert_allclose(measures, np.mean(expected, axis=(1, 2)), atol=1e-5)


def test_it_measures_the_average_and_training_goes_on_from_the_iterate():
    model = new_model()
    optimizer = model.optimizer
    optimizer.start_averaging()
    iterates = [model.get_weights()]

    class Note(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            iterates.append(self.model.get_weights())

    trigger = NonMonotonicTrigger("val_mae", 4, VALIDATION)
    fit(model, [trigger, Note(), SwapAveragedWeights()], epochs=1)
    average = [np.mean(w, axis=0) for w in zip(*iterates[:5], strict=True)]
    expected = np.abs(VALIDATION[0] @ average[0] + average[1] - VALIDATION[1]).mean()
    assert optimizer.heard == [(4, pytest.approx(expected, abs=1e-5))]
    # The recording callback comes after the trigger, and has seen the raw iterate.
    optimizer.use_iterates()
    plain = new_model()
    fit(plain, [], epochs=1)
    np.testing.assert_array_equal(plain.get_weights()[0], model.get_weights()[0])


class Stateful(keras.layers.Layer):
    """A layer with states that are zeroed."""

    def __init__(self):
        super().__init__()
        self.resets = []

    def call(self, inputs):
        return inputs

    def reset_training_state(self):
        self.resets.append("training")

    def reset_inference_state(self):
        self.resets.append("inference")


def test_inference_state_is_zeroed_and_the_mode_put_back():
    layer = Stateful()
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), layer])
    model.compile(Listening(learning_rate=0.1), loss="mse")
    modes = []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: modes.append(getattr(model, "training", "none"))
    )
    fit(model, [NonMonotonicTrigger("val_loss", 2, VALIDATION), look], epochs=1)
    assert list(layer.resets) == ["inference", "inference"]
    assert len(set(modes)) == 1
    assert modes[0] in (True, "none")


def test_a_dataset_to_validate_on():
    class Data(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return X[:4], Y[:4]

    model = new_model()
    fit(model, [NonMonotonicTrigger("val_loss", 5, Data())], epochs=1)
    loss = model.evaluate(X[:4], Y[:4], verbose=0)[0]
    assert model.optimizer.heard == [(5, pytest.approx(loss, abs=1e-6))]


# Bad input


@pytest.mark.once
@pytest.mark.parametrize("frequency", ["step", 0, -1, 1.5, True, None])
def test_bad_frequency(frequency):
    with pytest.raises(ValueError, match="Argument `frequency` must be .* Received: frequency"):
        NonMonotonicTrigger(frequency=frequency, validation_data=VALIDATION)


@pytest.mark.once
@pytest.mark.parametrize("arguments", [{"frequency": 5}, {"validation_data": [1]}])
def test_validation_data_goes_with_a_frequency(arguments):
    with pytest.raises(ValueError, match="Argument `validation_data` must be given if .* Received"):
        NonMonotonicTrigger(**arguments)


@pytest.mark.once
@pytest.mark.parametrize("make", [NonMonotonicTrigger, lambda **arguments: awd_lstm(DATASET, **arguments)])
def test_bad_stop_training(make):
    with pytest.raises(ValueError, match="Argument `stop_training` must be a boolean. Received: stop_training=1"):
        make(stop_training=1)


@pytest.mark.once
def test_needs_ntasgd():
    model = new_model(keras.optimizers.SGD(0.1))
    weights = model.get_weights()
    with pytest.raises(ValueError, match="`NonMonotonicTrigger` needs a model compiled with .*SGD"):
        fit(model, [NonMonotonicTrigger()])
    np.testing.assert_array_equal(weights[0], ops.convert_to_numpy(model.weights[0]))


@pytest.mark.once
def test_epochs_without_validation_are_no_fault():
    """Warnings are errors here."""
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(NTASGD(0.01), loss="mse")
    x, y = np.ones((4, 2), "float32"), np.ones((4, 1), "float32")
    model.fit(
        x,
        y,
        epochs=4,
        validation_data=(x, y),
        validation_freq=2,
        callbacks=[NonMonotonicTrigger(monitor="val_loss")],
        verbose=0,
    )
    assert np.isfinite(keras.ops.convert_to_numpy(model.optimizer._last_measures)).sum() == 2

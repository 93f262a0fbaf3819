"""`ResetStates`: which state is zeroed, and when."""

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras.callbacks import ResetStates

X = np.ones((6, 2), "float32")


class Counting(keras.layers.Layer):
    """Carries two counts, of training and inference calls, as our LSTM carries its states."""

    def build(self, input_shape):
        self.training_calls = self.add_weight(shape=(), trainable=False)
        self.inference_calls = self.add_weight(shape=(), trainable=False)

    def call(self, inputs, training=False):
        calls = self.training_calls if training else self.inference_calls
        calls.assign(calls + 1)
        return inputs

    def reset_training_state(self):
        self.training_calls.assign(0)

    def reset_inference_state(self):
        self.inference_calls.assign(0)


class Look(keras.callbacks.Callback):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.seen = []

    def _note(self, event):
        # On JAX, reading `self.model` updates its variables.
        assert self.model is not None
        counts = self.layer.training_calls, self.layer.inference_calls
        self.seen.append((event, *(int(ops.convert_to_numpy(count)) for count in counts)))

    def on_epoch_begin(self, epoch, logs=None):
        self._note("epoch_begin")

    def on_train_batch_end(self, batch, logs=None):
        self._note("train")

    def on_test_begin(self, logs=None):
        self._note("test_begin")

    def on_test_batch_end(self, batch, logs=None):
        self._note("test")

    def on_predict_batch_end(self, batch, logs=None):
        self._note("predict")


def models():
    """A single layer, a layer in a nested model, and one in a wrapper."""
    plain, nested, wrapped = Counting(), Counting(), Counting()
    return {
        "plain": (keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), plain]), plain),
        "nested": (
            keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), keras.Sequential([nested])]),
            nested,
        ),
        "wrapped": (
            keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), Wrapper(wrapped)]),
            wrapped,
        ),
    }


class Wrapper(keras.layers.Wrapper):
    def call(self, inputs, training=False):
        return self.layer(inputs, training=training)


@pytest.mark.parametrize("name", ["plain", "nested", "wrapped"])
def test_reset_at_the_beginning_of_each_pass(name):
    model, layer = models()[name]
    model.compile("sgd", loss="mse")
    look = Look(layer)
    callbacks = [ResetStates(), look]
    data = {"batch_size": 2, "callbacks": callbacks, "verbose": 0}
    for _ in range(2):
        look.seen.clear()
        model.fit(X, X, epochs=2, validation_data=(X[:4], X[:4]), **data)
        epoch = [("epoch_begin", 0), ("train", 1), ("train", 2), ("train", 3)]
        validation = [("test_begin", 3, 0), ("test", 3, 1), ("test", 3, 2)]
        assert [seen[:2] for seen in look.seen if seen[0] in ("epoch_begin", "train")] == 2 * epoch
        assert [seen for seen in look.seen if seen[0].startswith("test")] == 2 * validation
    look.seen.clear()
    model.evaluate(X, X, **data)
    model.predict(X, **data)
    # The training state hasn't changed since the end of the epoch.
    tests = [("test_begin", 3, 0), ("test", 3, 1), ("test", 3, 2), ("test", 3, 3)]
    assert look.seen == [*tests, ("predict", 3, 1), ("predict", 3, 2), ("predict", 3, 3)]


@pytest.mark.parametrize("knows_the_data", [False, True])
def test_steps_per_epoch(knows_the_data):
    """If an epoch continues in the middle of the data, the state is kept. Each `fit` begins with a zero state."""
    model, layer = models()["plain"]
    model.compile("sgd", loss="mse")
    look = Look(layer)
    callbacks = [ResetStates(X[::2] if knows_the_data else None), look]
    for _ in range(2):
        look.seen.clear()
        with pytest.warns(UserWarning, match="ran out of data"):  # the second epoch is a step short
            model.fit(X, X, batch_size=2, epochs=3, steps_per_epoch=2, callbacks=callbacks, verbose=0)
        counts = [seen[1] for seen in look.seen if seen[0] == "train"]
        assert counts == [1, 2, 3 if knows_the_data else 1, 1, 2]


def test_a_layer_with_one_of_the_methods_and_one_with_none():
    class Half(keras.layers.Layer):
        resets = 0

        def call(self, inputs):
            return inputs

        def reset_training_state(self):
            Half.resets += 1

    model = keras.Sequential([keras.Input((2,)), Half(), keras.layers.Dense(2)])
    model.compile("sgd", loss="mse")
    arguments = {"epochs": 3, "validation_data": (X, X), "callbacks": [ResetStates()]}
    model.fit(X, X, verbose=0, **arguments)
    assert Half.resets == 3

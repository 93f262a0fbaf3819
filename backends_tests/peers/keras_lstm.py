"""Tests of `LSTM` and `Bidirectional` in Keras's suite, applied to `WeightDropLSTM`. Keras's layer gives the values."""

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras.layers import WeightDropLSTM

BATCH, TIME, FEATURES, UNITS = 3, 5, 4, 6


@pytest.fixture
def x(rng):
    return rng.normal(size=(BATCH, TIME, FEATURES)).astype("float32")


@pytest.fixture
def mask():
    # Padded on the right and on the left, and not at all.
    return np.array([[1, 1, 1, 0, 0], [0, 1, 1, 1, 1], [1, 1, 1, 1, 1]], "bool")


def pair(**arguments):
    """Our layer and Keras's, with the same weights."""
    ours, keras_own = WeightDropLSTM(UNITS, weight_drop=0.5, **arguments), keras.layers.LSTM(UNITS, **arguments)
    for layer in (ours, keras_own):
        layer.build((BATCH, TIME, FEATURES))
    keras_own.set_weights(ours.get_weights())
    return ours, keras_own


def assert_same(ours, theirs):
    ours, theirs = (outputs if isinstance(outputs, (list, tuple)) else [outputs] for outputs in (ours, theirs))
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(our), ops.convert_to_numpy(their), atol=1e-5)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"return_sequences": True},
        {"return_sequences": True, "return_state": True},
        {"go_backwards": True, "return_sequences": True},
        {"use_bias": False},
        {"unit_forget_bias": False, "kernel_initializer": "ones", "recurrent_initializer": "ones"},
        {"activation": "relu", "recurrent_activation": "hard_sigmoid"},
    ],
    ids=lambda arguments: "-".join(arguments) or "default",
)
def test_outputs(x, arguments):
    ours, keras_own = pair(**arguments)
    assert len(ours.trainable_weights) == len(keras_own.trainable_weights)
    assert len(ours.non_trainable_weights) == 0
    assert_same(ours(x), keras_own(x))


@pytest.mark.parametrize("go_backwards", [False, True])
def test_masked_steps_are_left_out(x, mask, go_backwards):
    ours, keras_own = pair(return_sequences=True, return_state=True, go_backwards=go_backwards)
    assert_same(ours(x, mask=mask), keras_own(x, mask=mask))
    # The values of masked steps have no effect.
    changed = np.where(mask[..., None], x, 9.0).astype("float32")
    assert_same(ours(x, mask=mask)[1:], ours(changed, mask=mask)[1:])


def test_an_initial_state_goes_on_from_a_returned_one(x):
    ours, keras_own = pair(return_sequences=True, return_state=True)
    whole, *_ = ours(x)
    first, *state = ours(x[:, :2])
    second, *_ = ours(x[:, 2:], initial_state=state)
    assert_same(ops.concatenate([first, second], axis=1), whole)
    assert_same(ours(x, initial_state=state), keras_own(x, initial_state=state))


def test_a_stateful_layer_carries_on_until_it_is_reset(x):
    ours, keras_own = pair(stateful=True)
    first = ours(x)
    assert_same(first, keras_own(x))
    second = ours(x)
    assert_same(second, keras_own(x))
    assert np.abs(ops.convert_to_numpy(first) - ops.convert_to_numpy(second)).max() > 1e-3
    ours.reset_state()
    ours.reset_inference_state()
    assert_same(ours(x), first)


@pytest.mark.parametrize("merge_mode", ["concat", "sum", "mul", "ave", None])
def test_bidirectional(x, mask, merge_mode):
    ours, keras_own = pair(return_sequences=True)
    ours, keras_own = (keras.layers.Bidirectional(layer, merge_mode=merge_mode) for layer in (ours, keras_own))
    for layer in (ours, keras_own):
        layer.build(x.shape)
    keras_own.set_weights(ours.get_weights())
    assert_same(ours(x, mask=mask), keras_own(x, mask=mask))
    width = 2 * UNITS if merge_mode == "concat" else UNITS
    shapes = [(BATCH, TIME, width)] * (1 if merge_mode else 2)
    outputs = ours(x) if merge_mode is None else [ours(x)]
    assert [tuple(output.shape) for output in outputs] == shapes


def test_bidirectional_returns_and_takes_four_states(x):
    ours, keras_own = (keras.layers.Bidirectional(layer) for layer in pair(return_state=True))
    for layer in (ours, keras_own):
        layer.build(x.shape)
    keras_own.set_weights(ours.get_weights())
    outputs, *states = ours(x)
    assert len(states) == 4
    assert_same([outputs, *states], keras_own(x))
    assert_same(ours(x, initial_state=states), keras_own(x, initial_state=states))


@pytest.mark.parametrize("kind", ["keras", "weights.h5"])
def test_a_model_goes_through_a_file(x, tmp_path, kind):
    def make():
        inputs = keras.Input((None, FEATURES))
        return keras.Model(inputs, keras.layers.Bidirectional(WeightDropLSTM(UNITS, weight_drop=0.5))(inputs))

    model, path = make(), tmp_path / f"model.{kind}"
    if kind == "keras":
        model.save(path)
        loaded = keras.saving.load_model(path)
    else:
        model.save_weights(path)
        loaded = make()
        loaded.load_weights(path)
    assert_same(loaded(x), model(x))


def test_it_learns(x):
    """It fits one batch, as in Keras's test of a layer."""
    model = keras.Sequential([WeightDropLSTM(UNITS, weight_drop=0.5), keras.layers.Dense(1)])
    model.compile("adam", loss="mse")
    y = np.ones((BATCH, 1), "float32")
    losses = [float(model.train_on_batch(x, y)) for _ in range(12)]
    assert losses[-1] < losses[0]

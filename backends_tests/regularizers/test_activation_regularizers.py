import keras
import numpy as np
import pytest

from awd_keras.layers import WeightDropLSTM
from awd_keras.regularizers import ActivationRegularizer, TemporalActivationRegularizer
from backends_tests.helpers import once


def penalty(x, regularizer, dtype="float32"):
    """The penalty that a layer adds to the loss, after Keras has divided it by the batch size."""
    layer = keras.layers.Activation("linear", activity_regularizer=regularizer, dtype=dtype)
    layer(x)
    (loss,) = layer.losses
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    return float(loss)


@pytest.mark.parametrize("batch", [*once(1), 8])
@pytest.mark.parametrize("time", [1, *once(2), 7])
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", *once("mixed_bfloat16")])
def test_equal_to_numpy(rng, batch, time, dtype):
    x = rng.normal(size=(batch, time, 16)).astype("float32")
    if dtype != "float32":  # so that rounding is the same on both sides
        x = np.round(x * 8) / 8
    jumps = x[:, 1:] - x[:, :-1]
    ar = penalty(x, ActivationRegularizer(2.0), dtype)
    tar = penalty(x, TemporalActivationRegularizer(3.0), dtype)
    assert ar == pytest.approx(2 * np.mean(x**2), rel=1e-5)
    assert tar == pytest.approx(3 * np.mean(jumps**2) if time > 1 else 0, rel=1e-5)


def test_half_precision_does_not_overflow():
    x = np.full((2, 3, 4), 400.0, "float32")
    assert penalty(x, ActivationRegularizer(1.0), "mixed_float16") == 160_000


def test_in_the_training_loss(rng):
    """The loss of `fit` minus the error is the penalty, for any batch size."""
    x = rng.normal(size=(6, 5, 4)).astype("float32")
    for batch_size in (1, 6):
        model = keras.Sequential(
            [keras.layers.Activation("linear", activity_regularizer=TemporalActivationRegularizer(2.0))]
        )
        model.compile(loss="mse")
        loss = model.evaluate(x, x, batch_size=batch_size, verbose=0)
        assert loss == pytest.approx(2 * np.mean((x[:, 1:] - x[:, :-1]) ** 2), rel=1e-5)


def test_tar_leaves_final_states_alone(rng):
    x = rng.normal(size=(2, 5, 4)).astype("float32")
    layer = WeightDropLSTM(
        3,
        return_sequences=True,
        return_state=True,
        activity_regularizer=TemporalActivationRegularizer(1.0),
    )
    h = keras.ops.convert_to_numpy(layer(x)[0])
    total = sum(float(keras.ops.convert_to_numpy(loss)) for loss in layer.losses)
    assert total == pytest.approx(np.mean((h[:, 1:] - h[:, :-1]) ** 2), rel=1e-5)


@pytest.mark.once
@pytest.mark.parametrize("value", [-1.0, float("nan"), "much", None])
def test_bad_weights(value):
    with pytest.raises(ValueError, match="`alpha`.*Received: alpha="):
        ActivationRegularizer(value)
    with pytest.raises(ValueError, match="`beta`.*Received: beta="):
        TemporalActivationRegularizer(value)

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras.layers import LockedDropout


def dropped(rate, shape, **kwargs):
    layer = LockedDropout(rate, **kwargs)
    return ops.convert_to_numpy(layer(np.ones(shape, "float32"), training=True))


def test_one_mask_for_all_time_steps():
    y = dropped(0.3, (8, 5, 40), seed=1)
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1], y.shape))
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.7], rtol=1e-6)


def test_each_sequence_has_its_own_mask():
    y = dropped(0.5, (8, 2, 40), seed=1)
    assert len(np.unique(y[:, 0], axis=0)) == 8


@pytest.mark.parametrize("rate", [0.1, 0.65])
def test_rate(rate):
    y = dropped(rate, (100, 2, 100), seed=1)
    assert abs((y[:, 0] == 0).mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / 10_000)


def test_other_masks_in_the_next_call_and_the_same_from_the_same_seed():
    x = np.ones((4, 3, 20), "float32")
    layer, same = LockedDropout(0.5, seed=3), LockedDropout(0.5, seed=3)
    first, second = (ops.convert_to_numpy(layer(x, training=True)) for _ in range(2))
    assert (first != second).any()
    np.testing.assert_array_equal(first, ops.convert_to_numpy(same(x, training=True)))


def test_off_at_inference_and_at_rate_zero(rng):
    x = rng.normal(size=(2, 3, 4)).astype("float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(LockedDropout(0.5)(x)), x)
    np.testing.assert_array_equal(ops.convert_to_numpy(LockedDropout(0.0)(x, training=True)), x)


def test_keeps_the_mask_of_padding():
    model = keras.Sequential([keras.layers.Embedding(5, 4, mask_zero=True), LockedDropout(0.5), keras.layers.LSTM(3)])
    padded, unpadded = model(np.array([[1, 2, 0]])), model(np.array([[1, 2]]))
    np.testing.assert_allclose(ops.convert_to_numpy(padded), ops.convert_to_numpy(unpadded), atol=1e-6)


@pytest.mark.once
def test_keras_layer_contract():
    from keras.src.testing import TestCase

    case = TestCase()
    case.run_layer_test(
        LockedDropout,
        init_kwargs={"rate": 0.3, "seed": 3},
        input_shape=(2, 3, 4),
        expected_output_shape=(2, 3, 4),
        expected_num_non_trainable_variables=1,
        expected_num_seed_generators=1,
        supports_masking=True,
        assert_built_after_instantiation=True,
        run_training_check=False,  # Keras warns of a model without weights
    )
    case.run_class_serialization_test(LockedDropout(0.3, seed=3, activity_regularizer="l2"))


@pytest.mark.once
@pytest.mark.parametrize("rate", [1.0, -0.1, "half", None, True])
def test_bad_rate(rate):
    with pytest.raises(ValueError, match="`rate`.*Received: rate="):
        LockedDropout(rate)


@pytest.mark.once
@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True, "one"])
def test_bad_seed(seed):
    with pytest.raises(ValueError, match=r"`seed` must be an integer in \[0, 2\*\*32\). Received: seed="):
        LockedDropout(0.5, seed=seed)

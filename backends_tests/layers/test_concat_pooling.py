"""Concat pooling equals NumPy's, with padding anywhere, and for whole sequences and parts."""

import keras
import numpy as np
from keras import ops

from awd_keras.layers import ConcatPooling
from backends_tests.helpers import to_numpy

SIZE = 3


def oracle(rows):
    """The result for texts without padding."""
    return np.stack([np.concatenate([x[-1], x.max(axis=0), x.mean(axis=0)]) for x in rows])


def texts(rng):
    return [rng.normal(size=(length, SIZE)).astype("float32") - 2 for length in (4, 1, 6)]


def padded(rows, in_front):
    """Pads with large numbers, which would show in the result."""
    x = np.full((len(rows), 6, SIZE), 9.0, "float32")
    mask = np.zeros((len(rows), 6), bool)
    for row, values in enumerate(rows):
        part = slice(6 - len(values), None) if in_front else slice(len(values))
        x[row, part], mask[row, part] = values, True
    return x, mask


def test_equals_numpy(rng):
    rows = texts(rng)
    for in_front in (False, True):
        x, mask = padded(rows, in_front)
        np.testing.assert_allclose(to_numpy(ConcatPooling()(x, mask=mask)), oracle(rows), atol=1e-6)
    np.testing.assert_allclose(to_numpy(ConcatPooling()(rows[2][None])), oracle(rows[2:]), atol=1e-6)


def test_in_parts(rng):
    rows = texts(rng)
    x, mask = padded(rows, in_front=True)
    layer = ConcatPooling()
    earlier = layer.summarize(x[:, :2], mask[:, :2])
    earlier = layer.summarize(x[:, 2:5], mask[:, 2:5], earlier)
    np.testing.assert_allclose(to_numpy(layer(x[:, 5:], mask=mask[:, 5:], earlier=earlier)), oracle(rows), atol=1e-6)


def test_nothing_but_padding_gives_zeros_and_no_nan():
    x = np.ones((1, 2, SIZE), "float32")
    assert tuple(ConcatPooling()(x[:0]).shape) == (0, 3 * SIZE)
    assert not to_numpy(ConcatPooling()(x, mask=np.zeros((1, 2), bool))).any()


def test_takes_the_mask_of_a_keras_model(rng):
    rows = texts(rng)
    x, mask = padded(rows, in_front=False)
    x[~mask] = 0
    inputs = keras.Input((None, SIZE))
    model = keras.Model(inputs, ConcatPooling()(keras.layers.Masking()(inputs)))
    assert model.output_shape == (None, 3 * SIZE)
    np.testing.assert_allclose(to_numpy(model(ops.convert_to_tensor(x))), oracle(rows), atol=1e-6)

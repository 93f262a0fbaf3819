"""The memory cell as a weighted sum: the weights are right, and the sum is the cell."""

import importlib

import numpy as np
import pytest
from keras import ops

from awd_keras.analysis import gate_activations, memory_weights
from backends_tests.analysis.small_lstm import BATCH, KINDS, TIME, UNITS, arrays, built

MODULE = importlib.import_module("awd_keras.analysis.memory")


def by_hand(gates):
    """The weights in float64, computed as the equations are written."""
    i, f = gates.i.astype("float64"), gates.f.astype("float64")
    content = np.zeros((BATCH, TIME, TIME, UNITS))
    for t in range(TIME):
        for j in range(t + 1):
            content[:, t, j] = i[:, j] * np.prod(f[:, j + 1 : t + 1], axis=1)
    return content, np.stack([np.prod(f[:, : t + 1], axis=1) for t in range(TIME)], axis=1)


def weighted_sum(memory, gates, c_0):
    return memory.initial * c_0[:, None] + np.einsum("btju,bju->btu", memory.content, gates.content)


@pytest.mark.parametrize("kind", KINDS)
def test_the_sum_is_the_layer_s_cell(kind):
    layer = built(KINDS[kind]())
    x, state = arrays()
    memory, gates = memory_weights(layer, x, state), gate_activations(layer, x, state)
    for array, other in zip(memory, by_hand(gates), strict=True):
        assert array.dtype == "float32"
        np.testing.assert_allclose(array, other, atol=1e-6)
    cells = weighted_sum(memory, gates, state[1])
    *_, c = layer(x, initial_state=state)
    np.testing.assert_allclose(cells[:, -1], ops.convert_to_numpy(c), atol=1e-5)
    # gates.c is compared with the layer and NumPy in test_gate_activations.py.
    np.testing.assert_allclose(cells, gates.c, atol=1e-5)


def test_nothing_is_divided_by():
    """With gates near 0, their product is 0 in float32, and a quotient of such products would be NaN."""
    layer = built(KINDS["keras"]())
    kernel, recurrent_kernel, bias = layer.get_weights()
    # The forget gate depends only on the first feature.
    kernel[:, UNITS : 2 * UNITS] = [[1.0], [0.0], [0.0]]
    recurrent_kernel[:, UNITS : 2 * UNITS] = 0
    bias[UNITS : 2 * UNITS] = 0
    layer.set_weights([kernel, recurrent_kernel, bias])
    x, state = arrays()
    x[:, :, 0] = [-80, -60, -70, 2, 3]
    gates, memory = gate_activations(layer, x, state), memory_weights(layer, x, state)
    assert np.prod(gates.f[:, :2], axis=1).max() == 0
    for array, other in zip(memory, by_hand(gates), strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-4, atol=1e-32)
    # Words that were written later are still held.
    assert (memory.content[:, 4, 3] > 0.5 * gates.i[:, 3]).all()
    np.testing.assert_allclose(weighted_sum(memory, gates, state[1]), gates.c, atol=1e-5)


def test_reduced(monkeypatch):
    layer = built(KINDS["keras"]())
    x, state = arrays()
    whole, sizes, root_mean_square = memory_weights(layer, x, state), [], MODULE.root_mean_square
    monkeypatch.setattr(
        MODULE, "root_mean_square", lambda weights: sizes.append(weights.nbytes) or root_mean_square(weights)
    )
    reduced = memory_weights(layer, x, state, reduce="rms")
    for array, other in zip(reduced, whole, strict=True):
        assert array.shape == other.shape[:-1]
        # The norm that Levy et al. draw, divided by the square root of the number of units.
        np.testing.assert_allclose(array, np.linalg.norm(other, axis=-1) / np.sqrt(UNITS), atol=1e-6)
    # Only the weights of one word are in memory at a time.
    assert sizes == [whole.content[:, :, 0].nbytes] * (TIME + 1)


def test_too_long(monkeypatch):
    """The error comes before anything is computed, and says what to do."""
    layer = built(KINDS["keras"]())
    text = np.broadcast_to(arrays()[0][:, :1], (BATCH, 100_000, 3))
    with pytest.raises(ValueError) as raised:
        memory_weights(layer, text)
    assert str(raised.value) == (
        "The weights of 2 x 100000 words in 100000 time steps and 4 units would take 298.0 GiB, more than 1.0 GiB: "
        'give a shorter text, or reduce="rms" for their root mean square over units, which takes 74.5 GiB.'
    )
    with pytest.raises(ValueError, match=r"time steps would take 74.5 GiB, more than 1.0 GiB: give a shorter text.$"):
        memory_weights(layer, text, reduce="rms")
    # Exactly at the limit, and one byte above it.
    x, _ = arrays()
    full = BATCH * TIME * TIME * UNITS * 4
    monkeypatch.setattr(MODULE, "LARGEST", full)
    assert memory_weights(layer, x).content.nbytes == full
    monkeypatch.setattr(MODULE, "LARGEST", full - 1)
    with pytest.raises(ValueError, match="reduce="):
        memory_weights(layer, x)
    memory_weights(layer, x, reduce="rms")


@pytest.mark.once
def test_bad_arguments():
    layer = built(KINDS["keras"]())
    x, _ = arrays()
    with pytest.raises(ValueError, match="Argument `reduce` must be None or 'rms'. Received: reduce='mean'"):
        memory_weights(layer, x, reduce="mean")
    with pytest.raises(ValueError, match="Argument `layer` must be a keras.layers.LSTM"):
        memory_weights("lstm", x)

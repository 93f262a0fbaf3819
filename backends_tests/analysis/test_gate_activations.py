"""The gates of an LSTM, compared with the layer's own forward pass and with NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from awd_keras import layers
from awd_keras.analysis import gate_activations
from backends_tests.analysis.small_lstm import BATCH, FEATURES, KINDS, TIME, UNITS, WHOLE, arrays, built, by_hand
from backends_tests.helpers import values_of

ZEROS = [np.zeros((BATCH, UNITS), "float32")] * 2


def assert_same(gates, expected):
    for name, array, other in zip(gates._fields, gates, expected, strict=True):
        assert isinstance(array, np.ndarray)
        assert array.dtype == "float32"
        np.testing.assert_allclose(array, other, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_is_the_forward_pass(kind):
    layer = built(KINDS[kind]())
    x, state = arrays()
    gates = gate_activations(layer, x, state)
    assert_same(gates, by_hand(layer, x[:, ::-1] if layer.go_backwards else x, state))
    outputs, h, c = map(ops.convert_to_numpy, layer(x, initial_state=state))
    np.testing.assert_allclose(gates.h, outputs, atol=1e-5)
    np.testing.assert_allclose(gates.h[:, -1], h, atol=1e-5)
    np.testing.assert_allclose(gates.c[:, -1], c, atol=1e-5)


def test_every_step_is_the_layer_s():
    layer = built(KINDS["weight drop"]())
    x, state = arrays()
    gates = gate_activations(layer, x, state)
    for t in range(TIME):
        _, *state = layer(x[:, t : t + 1], initial_state=state)
        for array, part in zip((gates.h, gates.c), state, strict=True):
            np.testing.assert_allclose(array[:, t], ops.convert_to_numpy(part), atol=1e-5)


def test_begins_with_zeros():
    layer = built(KINDS["keras"]())
    x, _ = arrays()
    gates = gate_activations(layer, x)
    assert_same(gates, by_hand(layer, x, ZEROS))
    np.testing.assert_allclose(gates.h, ops.convert_to_numpy(layer(x)[0]), atol=1e-5)


def test_other_activations():
    layer = built(layers.WeightDropLSTM(UNITS, activation="relu", recurrent_activation="hard_sigmoid", **WHOLE))
    x, state = arrays()
    gates = gate_activations(layer, x, state)
    hard_sigmoid = lambda z: np.clip(z / 6 + 0.5, 0, 1)  # noqa: E731
    assert_same(gates, by_hand(layer, x, state, lambda z: np.maximum(z, 0), hard_sigmoid))
    np.testing.assert_allclose(gates.h, ops.convert_to_numpy(layer(x, initial_state=state)[0]), atol=1e-5)


def test_leaves_the_carried_state_alone():
    layer = built(layers.WeightDropLSTM(UNITS, stateful=True, **WHOLE))
    x, _ = arrays()
    layer(x)
    carried = values_of((*layer.inference_state, *layer.training_state))
    gates = gate_activations(layer, x)
    assert_same(gates, by_hand(layer, x, ZEROS))
    for part, before in zip((*layer.inference_state, *layer.training_state), carried, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(part), before)
    assert carried[0].any()


def test_half_precision_comes_as_float32():
    layer = built(layers.WeightDropLSTM(UNITS, dtype="mixed_bfloat16", **WHOLE))
    x, _ = arrays()
    gates = gate_activations(layer, x)
    assert {array.dtype for array in gates} == {np.dtype("float32")}
    np.testing.assert_allclose(gates.h, by_hand(layer, x, ZEROS)[-1], atol=5e-2)


def test_ablated_lstm_with_nothing_gone():
    layer = built(layers.AblatedLSTM(UNITS, "lstm", **WHOLE))
    x, state = arrays()
    assert_same(gate_activations(layer, x, state), by_hand(layer, x, state))


def test_no_gates():
    layer = built(layers.AblatedLSTM(UNITS, "-gates", **WHOLE))
    with pytest.raises(ValueError, match=r"Argument `layer` must have gates. Received: .*variant='-gates'"):
        gate_activations(layer, arrays()[0])


X = arrays()[0]
WRONG = {
    "GRU": (lambda: keras.layers.GRU(4), X, None, "`layer` must be a keras.layers.LSTM, or .* Received: layer=<GRU"),
    "bidirectional": (lambda: keras.layers.Bidirectional(KINDS["keras"]()), X, None, "`layer` must be .*<Bidirect"),
    "no layer": (lambda: "lstm", X, None, "`layer` must be a keras.layers.LSTM, or .* Received: layer='lstm'"),
    "not built": (KINDS["keras"], X, None, "`layer` must be built"),
    "ids": (lambda: built(KINDS["keras"]()), np.ones((2, 5), "int32"), None, "`inputs` must hold floats"),
    "rank": (lambda: built(KINDS["keras"]()), X[0], None, r"`inputs` must have the shape \(batch, time, 3\)"),
    "features": (lambda: built(KINDS["keras"]()), X[..., :2], None, r"`inputs` must have the shape \(batch, time, 3\)"),
    "no time": (lambda: built(KINDS["keras"]()), X[:, :0], None, "`inputs` must have at least one time step"),
    "one state": (lambda: built(KINDS["keras"]()), X, [np.ones((2, 4))], r"`initial_state` must be a list \[h, c\]"),
    "units": (lambda: built(KINDS["keras"]()), X, [np.ones((2, 3))] * 2, r"`initial_state` must have .* \(2, 4\)"),
}


@pytest.mark.once
@pytest.mark.parametrize("wrong", WRONG)
def test_bad_arguments(wrong):
    make, inputs, state, message = WRONG[wrong]
    with pytest.raises(ValueError, match=message):
        gate_activations(make(), inputs, state)


def test_padding_is_refused():
    """With a mask, the layer would skip the padding."""
    layer = built(KINDS["keras"]())
    embedded = keras.layers.Embedding(9, FEATURES, mask_zero=True)(np.array([[1, 2, 0], [3, 4, 5]]))
    with pytest.raises(ValueError, match="`inputs` must come without a mask"):
        gate_activations(layer, embedded)

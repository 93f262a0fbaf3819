"""The fused LSTM against Keras's loop, by each framework's own differentiation."""

import keras
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from keras.src import activations

from awd_keras import backend
from backends_tests.backend.differentiated import differentiated

NAMES = ("sequences", "h", "c", "kernel", "recurrent_kernel", "bias")


def loss_of(lstm, directions):
    """A random linear function of all results of the LSTM, as a function of its arrays."""

    def loss(sequences, h, c, *weights):
        outputs, state, path = lstm(
            sequences, [h, c], *weights, activation=activations.tanh, recurrent_activation=activations.sigmoid
        )
        assert (path == "generic") == (lstm is backend.generic_lstm)
        parts = zip((outputs, *state), directions, strict=True)
        return sum(keras.ops.sum(part * keras.ops.convert_to_tensor(direction)) for part, direction in parts)

    return loss


def drawn(batch, time, features, units, seed=0):
    rng = np.random.default_rng(seed)
    shapes = [(batch, time, features), *[(batch, units)] * 2, (features, 4 * units), (units, 4 * units), (4 * units,)]
    arrays = [rng.normal(size=shape).astype("float32") for shape in shapes]
    directions = [rng.normal(size=shape).astype("float32") for shape in ((batch, time, units), *[(batch, units)] * 2)]
    return arrays, directions


@settings(max_examples=4)
@given(
    batch=st.integers(1, 4),
    time=st.integers(1, 8),
    features=st.integers(1, 5),
    units=st.integers(1, 6),
    seed=st.just(0),
)
@example(batch=1, time=1, features=1, units=1, seed=1)
@example(batch=1, time=7, features=3, units=4, seed=2)
@example(batch=3, time=1, features=2, units=5, seed=3)
def test_values_and_gradients_equal_the_generic_loop(batch, time, features, units, seed):
    arrays, directions = drawn(batch, time, features, units, seed)
    value, gradients = differentiated(loss_of(backend.lstm, directions), arrays)
    expected_value, expected = differentiated(loss_of(backend.generic_lstm, directions), arrays)
    value, expected_value = keras.ops.convert_to_numpy(value), keras.ops.convert_to_numpy(expected_value)
    np.testing.assert_allclose(value, expected_value, atol=1e-4)
    for name, a, b in zip(NAMES, gradients, expected, strict=True):
        a, b = keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b)
        np.testing.assert_allclose(a, b, atol=1e-4, err_msg=name)


def test_second_order_gradients():
    arrays, directions = drawn(2, 3, 2, 3)
    expected = differentiated(loss_of(backend.generic_lstm, directions), arrays, twice=True)
    actual = differentiated(loss_of(backend.lstm, directions), arrays, twice=True)
    for name, a, b in zip(NAMES, actual, expected, strict=True):
        a, b = keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b)
        np.testing.assert_allclose(a, b, atol=1e-3, rtol=1e-3, err_msg=name)


if keras.backend.backend() == "torch":
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counted(TorchDispatchMode):
        """Counts PyTorch's operations."""

        calls = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.calls += 1
            return function(*args, **(kwargs or {}))

    @pytest.mark.parametrize(("loop", "gates", "states"), [(backend.lstm, 4, 2), (backend.gru, 3, 1)])
    def test_shapes_alone_take_no_longer_for_a_long_text(loop, gates, states):
        """Before its first step, `fit` asks for shapes by tensors without values, which PyTorch takes step by step."""

        def empty(*shape):
            return torch.empty(shape, device="meta")

        bias = empty(4 * gates) if loop is backend.lstm else empty(2, 4 * gates)
        calls = []
        for time in (3, 30):
            with Counted() as counted:
                outputs, state, _ = loop(
                    empty(2, time, 3),
                    [empty(2, 4)] * states,
                    empty(3, 4 * gates),
                    empty(4, 4 * gates),
                    bias,
                    activation=activations.tanh,
                    recurrent_activation=activations.sigmoid,
                )
            assert tuple(outputs.shape) == (2, time, 4)
            assert [tuple(part.shape) for part in state] == [(2, 4)] * states
            calls.append(counted.calls)
        assert calls[0] == calls[1]

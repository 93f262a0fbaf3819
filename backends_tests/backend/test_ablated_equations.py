"""The equations of the ablated LSTMs, and their gradients, against NumPy in float64."""

import numpy as np
import pytest
from keras import ops
from keras.src import activations

from awd_keras.layers import ablated_equations
from backends_tests import oracle
from backends_tests.backend.differentiated import differentiated

BATCH, TIME, FEATURES, UNITS = 2, 5, 3, 4
# The function, and the widths of kernel, recurrent kernel and bias in units.
VARIANTS = {
    "-srnn": (ablated_equations.gates_of_hidden, (4, 3, 3)),
    "-srnn-out": (ablated_equations.gates_of_hidden, (3, 2, 2)),
    "-srnn-hidden": (ablated_equations.gates_of_inputs, (4, 0, 3)),
    "-gates": (ablated_equations.simple_rnn, (1, 1, 1)),
}
# Keras's loops differ in what they put out before the first step that counts.
MASK = np.array([[True, False, True, True, False], [True, True, False, False, True]])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_values_and_gradients_equal_numpy(rng, variant, masked):
    """Of a random linear function of all that comes out, by the inputs, the state and the weights."""
    function, widths = VARIANTS[variant]
    mask = MASK if masked else None
    shapes = [(BATCH, TIME, FEATURES), *[(BATCH, UNITS)] * 2]
    shapes += [(*rows, width * UNITS) for rows, width in zip(((FEATURES,), (UNITS,), ()), widths, strict=True) if width]
    arrays = [rng.normal(size=shape).astype("float32") for shape in shapes]
    directions = [rng.normal(size=shape).astype("float32") for shape in ((BATCH, TIME, UNITS), *[(BATCH, UNITS)] * 2)]

    def with_all(weights):
        return weights if len(weights) == 3 else (weights[0], None, weights[1])

    def loss(x, h, c, *weights):
        outputs, state, _ = function(
            x,
            [h, c],
            *with_all(weights),
            activation=activations.tanh,
            recurrent_activation=activations.sigmoid,
            mask=None if mask is None else ops.convert_to_tensor(mask),
            go_backwards=False,
            unroll=False,
            zero_output_for_mask=False,
        )
        parts = zip((outputs, *state), directions, strict=True)
        # PyTorch and TensorFlow have no gradient of a part of the state that a variant doesn't use.
        unused = 0.0 * (ops.sum(h) + ops.sum(c))
        return unused + sum(ops.sum(part * ops.convert_to_tensor(direction)) for part, direction in parts)

    def expected_loss(x, h, c, *weights):
        parts = oracle.ablated_lstm(variant, x, h, c, *with_all(weights), mask=mask)
        return sum(np.sum(part * direction) for part, direction in zip(parts, directions, strict=True))

    value, gradients = differentiated(loss, arrays)
    doubles = [array.astype("float64") for array in arrays]
    np.testing.assert_allclose(ops.convert_to_numpy(value), expected_loss(*doubles), rtol=1e-5, atol=1e-5)
    for actual, expected in zip(gradients, oracle.differences(expected_loss, arrays), strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(actual), expected, rtol=1e-5, atol=1e-5)

"""The equations of the ablated LSTMs, and their gradients, against NumPy in float64."""

import numpy as np
import pytest
from keras import ops
from keras.src import activations

from awd_keras.layers import ablated_lstm
from backends_tests import oracle
from backends_tests.backend.differentiated import assert_equal_numpy

BATCH, TIME, FEATURES, UNITS = 3, 5, 3, 4
# The function, and the widths of kernel, recurrent kernel and bias in units.
VARIANTS = {
    "-srnn": (ablated_lstm.gates_of_hidden, (4, 3, 3)),
    "-srnn-out": (ablated_lstm.gates_of_hidden, (3, 2, 2)),
    "-srnn-hidden": (ablated_lstm.gates_of_inputs, (4, 0, 3)),
    "-gates": (ablated_lstm.simple_rnn, (1, 1, 1)),
}
# In the last sequence no step counts: its state never changes.
MASK = np.array([[1, 0, 1, 1, 0], [0, 1, 0, 0, 1], [0, 0, 0, 0, 0]], bool)


def check(rng, variant, has_bias=True, mask=None, recurrent_mask=None, go_backwards=False, zero_output_for_mask=False):
    """Compares a random linear function of all results, and its gradients with respect to all arguments."""
    function, (kernel, recurrent_kernel, bias) = VARIANTS[variant]
    shapes = [(BATCH, TIME, FEATURES), *[(BATCH, UNITS)] * 2, (FEATURES, kernel * UNITS)]
    shapes += [(UNITS, recurrent_kernel * UNITS)] * bool(recurrent_kernel) + [(bias * UNITS,)] * has_bias
    arrays = [rng.normal(size=shape).astype("float32") for shape in shapes]
    directions = [rng.normal(size=shape).astype("float32") for shape in ((BATCH, TIME, UNITS), *[(BATCH, UNITS)] * 2)]

    def weights_of(weights, no_bias=None):
        weights = iter(weights)
        return next(weights), next(weights) if recurrent_kernel else None, next(weights) if has_bias else no_bias

    def loss(x, h, c, *weights):
        outputs, state, _ = function(
            x,
            [h, c],
            *weights_of(weights),
            activation=activations.tanh,
            recurrent_activation=activations.sigmoid,
            mask=None if mask is None else ops.convert_to_tensor(mask),
            recurrent_mask=None if recurrent_mask is None else ops.convert_to_tensor(recurrent_mask),
            go_backwards=go_backwards,
            unroll=False,
            zero_output_for_mask=zero_output_for_mask,
        )
        parts = zip((outputs, *state), directions, strict=True)
        # PyTorch and TensorFlow have no gradient of a part of the state that a variant doesn't use.
        unused = 0.0 * (ops.sum(h) + ops.sum(c))
        return unused + sum(ops.sum(part * ops.convert_to_tensor(direction)) for part, direction in parts)

    def expected_loss(x, h, c, *weights):
        weights, turned = weights_of(weights, np.zeros(bias * UNITS)), mask
        if go_backwards:
            x, turned = x[:, ::-1], mask[:, ::-1]
        others = 1.0 if recurrent_mask is None else recurrent_mask
        outputs, *state = oracle.ablated_lstm(variant, x, h, c, *weights, mask=turned, recurrent_mask=others)
        if zero_output_for_mask:
            outputs = np.where(turned[..., None], outputs, 0)
        return sum(np.sum(part * direction) for part, direction in zip((outputs, *state), directions, strict=True))

    assert_equal_numpy(loss, expected_loss, arrays)


@pytest.mark.parametrize("variant", VARIANTS)
def test_values_and_gradients_equal_numpy(rng, variant):
    check(rng, variant)


@pytest.mark.parametrize("variant", VARIANTS)
def test_with_all_that_keras_has(rng, variant):
    """Backwards, with masks of steps and of the state, zero outputs for masked steps, and no bias."""
    recurrent_mask = np.array([[0, 2, 2, 0], [2, 0, 2, 2], [2, 2, 0, 0]], "float32")
    check(
        rng,
        variant,
        has_bias=False,
        mask=MASK,
        recurrent_mask=recurrent_mask,
        go_backwards=True,
        zero_output_for_mask=True,
    )

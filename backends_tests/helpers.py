"""Functions for tests in many files."""

import pytest
from keras import ops

to_numpy = ops.convert_to_numpy


def values_of(variables):
    """The values of variables, in NumPy."""
    return [to_numpy(variable) for variable in variables]


def draw_weights(layer, rng, scale=1.0):
    """Sets the weights of a built layer or model to values so large that wrong results show."""
    for variable in layer.trainable_variables:
        variable.assign(scale * rng.normal(size=variable.shape))


def weights_that_run(layer, inputs, **arguments):
    """The weights that a call of a recurrent layer uses, in NumPy. None stands for a weight that it doesn't have."""
    given = []

    def run(sequences, state, *weights, **options):
        given.extend(None if weight is None else to_numpy(weight) for weight in weights)
        return ops.zeros((*sequences.shape[:2], layer.units)), state, "none"

    layer._function = lambda: run
    layer(inputs, **arguments)
    return given


def once(*cases):
    """Cases of a parametrization that `nox -s tests` runs only on PyTorch. A tuple has a value for each argument."""
    return [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.once) for case in cases]

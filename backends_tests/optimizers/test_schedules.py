"""The slanted triangular schedule equals the paper's formula."""

import math

import keras
import numpy as np
import pytest

from awd_keras.optimizers.schedules import SlantedTriangular
from backends_tests.helpers import to_numpy


def paper(t, total, fraction, ratio, most):
    """Equation 3 as it is printed."""
    cut = math.floor(total * fraction)
    p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / fraction - 1))
    return most * (1 + p * (ratio - 1)) / ratio


@pytest.mark.parametrize(("total", "fraction", "ratio"), [(100, 0.1, 32.0), (40, 0.25, 5.0)])
def test_equals_the_paper(total, fraction, ratio):
    schedule = SlantedTriangular(0.01, total, fraction, ratio)
    rates = [float(to_numpy(schedule(step))) for step in range(total + 1)]
    np.testing.assert_allclose(rates, [paper(t, total, fraction, ratio, 0.01) for t in range(total + 1)], rtol=1e-5)


def test_after_the_end_and_without_a_rise():
    schedule = SlantedTriangular(1.0, 5, ratio=4.0)
    assert [float(to_numpy(schedule(step))) for step in (0, 5, 9)] == [1.0, 0.25, 0.25]


def test_in_an_optimizer():
    optimizer = keras.optimizers.SGD(SlantedTriangular(1.0, 20, ratio=5.0))
    again = keras.optimizers.SGD.from_config(optimizer.get_config())
    assert float(to_numpy(again.learning_rate)) == pytest.approx(0.2)


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_learning_rate": -1}, "`max_learning_rate` must be .* Received: max_learning_rate=-1"),
        ({"total_steps": 0}, "`total_steps` must be a positive integer. Received: total_steps=0"),
        ({"cut_fraction": 1}, r"`cut_fraction` must be a number in \[0, 1\). Received: cut_fraction=1"),
        ({"ratio": 0.5}, "`ratio` must be at least 1. Received: ratio=0.5"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        SlantedTriangular(**{"max_learning_rate": 1.0, "total_steps": 10, **arguments})

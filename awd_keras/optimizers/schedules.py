"""Schedules of the learning rate, like those of `keras.optimizers.schedules`."""

import math
from typing import Any

import keras
from keras import ops

from awd_keras.checks import check_not_negative, check_positive_integer, check_rate

__all__ = ["SlantedTriangular"]


@keras.saving.register_keras_serializable(package="awd_keras")
class SlantedTriangular(keras.optimizers.schedules.LearningRateSchedule):
    """Slanted triangular schedule: the learning rate rises fast, then falls slowly, both linearly.

        cut = floor(total_steps * cut_fraction)
        p = step / cut                                 before the cut
        p = 1 - (step - cut) / (total_steps - cut)     from there on, and 0 after the last step
        learning_rate = max_learning_rate * (1 + p * (ratio - 1)) / ratio

    Source: Howard and Ruder 2018, arXiv 1801.06146, section 3.2, equation 3. Both are equal if
    `total_steps * cut_fraction` is a whole number; if not, the paper's rate falls slightly below the smallest rate.

    Args:
        max_learning_rate: float of at least 0, the rate at the cut.
        total_steps: positive integer, the number of steps of the whole training.
        cut_fraction: float in [0, 1), the share of the steps in which the rate rises.
        ratio: float of at least 1, the largest rate divided by the smallest.
        name: string.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    >>> from awd_keras.optimizers.schedules import SlantedTriangular
    >>> rate = SlantedTriangular(1.0, total_steps=20, ratio=5.0)
    >>> [round(float(rate(step)), 4) for step in (0, 1, 2, 11, 20)]
    [0.2, 0.6, 1.0, 0.6, 0.2]
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        cut_fraction: float = 0.1,
        ratio: float = 32.0,
        name: str = "SlantedTriangular",
    ):
        super().__init__()
        check_not_negative("max_learning_rate", max_learning_rate)
        check_positive_integer("total_steps", total_steps)
        check_rate("cut_fraction", cut_fraction)
        check_not_negative("ratio", ratio)
        if ratio < 1:
            raise ValueError(f"Argument `ratio` must be at least 1. Received: ratio={ratio!r}")
        self.max_learning_rate = max_learning_rate
        self.total_steps = total_steps
        self.cut_fraction = cut_fraction
        self.ratio = ratio
        self.name = name

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, keras.config.floatx())
        cut = math.floor(self.total_steps * self.cut_fraction)
        rising = ops.divide(step, max(cut, 1))
        falling = ops.subtract(1.0, ops.divide(ops.subtract(step, cut), self.total_steps - cut))
        p = ops.maximum(ops.where(ops.less(step, cut), rising, falling), 0.0)
        share = ops.divide(ops.add(1.0, ops.multiply(p, self.ratio - 1)), self.ratio)
        return ops.multiply(share, self.max_learning_rate)

    def get_config(self) -> dict:
        return {
            "max_learning_rate": self.max_learning_rate,
            "total_steps": self.total_steps,
            "cut_fraction": self.cut_fraction,
            "ratio": self.ratio,
            "name": self.name,
        }

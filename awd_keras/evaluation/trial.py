"""What a search for hyperparameters tries."""

import math
from typing import NamedTuple

from awd_keras.evaluation.score import Score


class Trial(NamedTuple):
    """One setting of hyperparameters, and its score.

    Attributes:
        settings: dictionary of arguments and their values.
        score: the `Score` with them.
    """

    settings: dict
    score: Score


def best_first(trials: list[Trial]) -> list[Trial]:
    """The trials by loss; those that diverged come last."""
    return sorted(trials, key=lambda trial: math.inf if math.isnan(trial.score.loss) else trial.score.loss)


def check_values(name, values, check):
    """Raises ValueError unless there are values, each of which passes the check."""
    if len(values) == 0:
        raise ValueError(f"Argument `{name}` must hold at least one value. Received: {name}={values!r}")
    for value in values:
        check(name, value)

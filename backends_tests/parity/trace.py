"""The results of a training for comparison, and the differences between two of them."""

import dataclasses

import numpy as np


@dataclasses.dataclass
class Trace:
    """The results of a whole training.

    Attributes:
        losses: the loss of each step, with penalties.
        cross_entropies: the loss of each step, without penalties.
        perplexities: on the validation text after each epoch, with the average once there is one.
        averaging_from: the number of epochs before averaging.
        iterate: the last weights by name, in Keras's layout.
        average: their average, in the same way.
    """

    losses: list[float] = dataclasses.field(default_factory=list)
    cross_entropies: list[float] = dataclasses.field(default_factory=list)
    perplexities: list[float] = dataclasses.field(default_factory=list)
    averaging_from: int | None = None
    iterate: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    average: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


# The largest relative difference that is allowed.
TOLERANCES = {"loss": 1e-4, "cross-entropy": 1e-4, "perplexity": 1e-4, "iterate": 1e-3, "average": 1e-3}


def deviations(trace, reference, initial) -> dict[str, float]:
    """The largest relative differences.

    For numbers, it is |a - b| / |b|, the largest over steps or epochs. For weights, it is ||a - b|| divided by ||b|| or
    by the norm of b's change from the initial weights, whichever is smaller, so that a variable that has hardly changed
    is checked too; the largest over variables.
    """
    return {
        "loss": _of_numbers(trace.losses, reference.losses),
        "cross-entropy": _of_numbers(trace.cross_entropies, reference.cross_entropies),
        "perplexity": _of_numbers(trace.perplexities, reference.perplexities),
        "iterate": _of_weights(trace.iterate, reference.iterate, initial),
        "average": _of_weights(trace.average, reference.average, initial),
    }


def _of_numbers(a, b):
    a, b = np.array(a, "float64"), np.array(b, "float64")
    assert a.shape == b.shape
    return float(np.max(np.abs(a - b) / np.abs(b)))


def _of_weights(a, b, initial):
    assert a.keys() == b.keys() == initial.keys()
    norm = np.linalg.norm
    scales = {name: min(norm(b[name]), norm(b[name] - initial[name])) for name in b}
    # Not Python's `max`, which may ignore NaN.
    return float(np.max([norm(a[name] - b[name]) / scales[name] for name in b]))

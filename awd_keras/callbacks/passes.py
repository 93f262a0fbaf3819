"""Where in a dataset each epoch of `fit` begins."""

import math


class Passes:
    """Passes over a dataset, of which an epoch of `fit` is a part if `steps_per_epoch` is below the dataset's length.

    Keras goes on in the dataset where the last epoch stopped. A pass whose windows aren't a multiple of the steps ends
    with a shorter epoch, and each `fit` begins a new pass, whatever its `initial_epoch`.

    Args:
        windows: the number of windows in a pass.
        steps: the number of steps in an epoch of `fit`, or None if Keras doesn't know it.
    """

    def __init__(self, windows: int, steps: int | None):
        self._steps = steps or windows
        self.epochs_per_pass = math.ceil(windows / self._steps)
        self._epochs = 0

    def next_epoch(self) -> int:
        """The window that the next epoch of this `fit` begins with."""
        window = self._epochs % self.epochs_per_pass * self._steps
        self._epochs += 1
        return window

"""What an LSTM computes in each time step."""

from typing import NamedTuple

import numpy as np


class Gates(NamedTuple):
    """All that an LSTM computes in each time step; arrays of shape (batch, time, units).

    Attributes:
        i: the input gate, how much of the content is written.
        f: the forget gate, how much of the last memory cell is kept.
        o: the output gate, how much of the memory cell is shown.
        content: what would be written, Keras's candidate and the paper's content layer.
        c: the memory cell after the step.
        h: the output of the step.
    """

    i: np.ndarray
    f: np.ndarray
    o: np.ndarray
    content: np.ndarray
    c: np.ndarray
    h: np.ndarray

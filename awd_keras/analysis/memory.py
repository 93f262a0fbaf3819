"""A memory cell as a weighted sum."""

from typing import NamedTuple

import numpy as np


class Memory(NamedTuple):
    """The weights of which an LSTM's memory cell is a sum, in each time step t:

    `c[t] = initial[t] * c_0 + sum(content[t, j] * content_j for j <= t)`

    Attributes:
        content: the weight in time step t of what word j has written, of shape (batch, t, j, units); 0 for the words
            j > t that are to come. Reduced over units, (batch, t, j).
        initial: the weight in time step t of the state c_0 before the text, of shape (batch, t, units). Reduced,
            (batch, t).
    """

    content: np.ndarray
    initial: np.ndarray

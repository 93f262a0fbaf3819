"""The memory of an LSTM as a weighted sum."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from awd_keras import backend
from awd_keras.analysis.gates import check_lstm, gate_activations


class Memory(NamedTuple):
    """An LSTM's memory cell as a weighted sum over the words that it has read, in each time step t:

    `c[t] = initial[t] * c_0 + sum(content[t, j] * content_j for j <= t)`

    Attributes:
        content: the weight in time step t of what word j has written, of shape (batch, t, j, units); 0 for later words,
            j > t. Reduced over units, (batch, t, j).
        initial: the weight in time step t of the state c_0 before the text, of shape (batch, t, units). Reduced,
            (batch, t).
    """

    content: np.ndarray
    initial: np.ndarray


# The most bytes that the weights of all units may take.
LARGEST = 2**30


def memory_weights(
    layer: keras.layers.LSTM, inputs: Any, initial_state: Sequence[Any] | None = None, reduce: str | None = None
) -> Memory:
    """The weights with which each word is held in an LSTM's memory cell, in each time step.

    The step `c_t = f_t * c_{t-1} + i_t * content_t`, written out down to the state c_0 before the text, is an
    element-wise sum over what every word has written:

    ```
    c_t   = w_0^t * c_0 + sum over j <= t of w_j^t * content_j
    w_j^t = i_j * f_{j+1} * ... * f_t
    w_0^t = f_1 * ... * f_t
    ```

    A weight is a vector, one number a unit. `reduce="rms"` gives the root mean square over units instead. That is the
    L2 norm that Levy et al. draw, divided by the square root of the number of units, so that layers of any size can be
    compared. It never holds the weights of more than one word.

    Products of gates are multiplied out, without a division, so that gates near 0 do no harm.

    Source: Levy et al. 2018, arXiv 1805.03716; the reduction is that of its pictures.

    Args:
        layer: as for `gate_activations`, and so are inputs and initial state.
        inputs: floats of shape (batch, time, features).
        initial_state: [h, c], each of shape (batch, units), or None for zeros.
        reduce: None, or `"rms"`.

    Returns:
        `Memory`: NumPy arrays of shape (batch, time, time, units) and (batch, time, units); without the units if
        reduced.

    Raises:
        ValueError: if `reduce` isn't one of these, the weights would take more than 1 GiB, or as `gate_activations`
            does.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from awd_keras.analysis import gate_activations, memory_weights
    >>> layer, inputs = keras.layers.LSTM(4), np.ones((2, 5, 3), "float32")
    >>> outputs = layer(inputs)
    >>> gates, weights = gate_activations(layer, inputs), memory_weights(layer, inputs)
    >>> weights.content.shape
    (2, 5, 5, 4)
    >>> c = np.einsum("btju,bju->btu", weights.content, gates.content)
    >>> bool(np.allclose(c, gates.c, atol=1e-5))
    True
    >>> memory_weights(layer, inputs, reduce="rms").content.shape
    (2, 5, 5)
    """
    if reduce not in (None, "rms"):
        raise ValueError(f"Argument `reduce` must be None or 'rms'. Received: reduce={reduce!r}")
    check_lstm(layer, inputs, initial_state)
    dtype = backend.sum_dtype(layer.compute_dtype)
    batch_size, time = inputs.shape[:2]
    _check_size(batch_size, time, layer.units, np.dtype(dtype).itemsize, reduce)
    gates = gate_activations(layer, inputs, initial_state)
    f = ops.convert_to_tensor(gates.f)
    steps = np.arange(time)[:, None]
    units = () if reduce else (layer.units,)
    content = np.empty((batch_size, time, time, *units), dtype)
    for j in range(time):
        kept = ops.cumprod(ops.where(steps > j, f, 1.0), axis=1)
        written = ops.where(steps >= j, gates.i[:, j : j + 1], 0.0)
        weights = ops.convert_to_numpy(ops.multiply(written, kept))
        content[:, :, j] = root_mean_square(weights) if reduce else weights
    initial = ops.convert_to_numpy(ops.cumprod(f, axis=1))
    return Memory(content, root_mean_square(initial) if reduce else initial)


def root_mean_square(weights: np.ndarray) -> np.ndarray:
    """The root mean square over units, the last axis."""
    return np.sqrt(np.mean(np.square(weights), axis=-1))


def _check_size(batch_size, time, units, itemsize, reduce):
    reduced = batch_size * time * time * itemsize
    needed = reduced if reduce else reduced * units
    if needed <= LARGEST:
        return
    what = f"The weights of {batch_size} x {time} words in {time} time steps"
    if reduce:
        raise ValueError(f"{what} would take {_size(needed)}, more than {_size(LARGEST)}: give a shorter text.")
    raise ValueError(
        f"{what} and {units} units would take {_size(needed)}, more than {_size(LARGEST)}: give a shorter text, or "
        f'reduce="rms" for their root mean square over units, which takes {_size(reduced)}.'
    )


def _size(count):
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"

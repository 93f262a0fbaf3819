"""The picture of an LSTM's gates."""

import os
from collections.abc import Sequence

import numpy as np

from awd_keras.analysis.check_words import check_words
from awd_keras.analysis.gates import Gates
from awd_keras.analysis.words_figure import label_words, new_figure, save, side

_WHOLE = {"left": 0, "right": 1, "bottom": 0, "top": 1, "hspace": 0.08}
_NAMES = {"f": "forget gate", "i": "input gate", "o": "output gate"}


def plot_gates(gates: Gates, words: Sequence[str], path: str | os.PathLike, row: int = 0) -> None:
    """Draws the three gates at each word: their means over units, and a heat map of units by words for each gate.

    The units are in the same order in all three: those at the top keep most, by the mean of their forget gate. Where
    there are more of them than rows of pixels, some hundred and eighty, evenly spaced ones are drawn.

    Args:
        gates: `Gates`, as `gate_activations` gives them.
        words: the words of the text, as many as time steps.
        path: the file to write, in a directory that exists; its name says the format, `gates.png` for example.
        row: which text of the batch.

    Raises:
        ImportError: if matplotlib isn't installed.
        ValueError: if there is no such row, or there aren't as many words as time steps.
        OSError: if the file can't be written.

    Example:

    >>> import os, tempfile
    >>> import numpy as np
    >>> from awd_keras.analysis import Gates, plot_gates
    >>> gates = Gates(*np.random.default_rng(0).random((6, 1, 3, 4)))  # Such as `gate_activations` gives.
    >>> path = os.path.join(tempfile.mkdtemp(), "gates.png")
    >>> plot_gates(gates, ["the", "cat", "sat"], path)
    >>> os.path.exists(path)
    True
    """
    check_words(words, gates.f, row)
    order = np.argsort(-gates.f[row].mean(axis=0))
    values = {name: getattr(gates, name)[row].T[order] for name in _NAMES}
    # Gates other than sigmoids may leave these bounds.
    low = min(0.0, *(float(array.min()) for array in values.values()))
    high = max(1.0, *(float(array.max()) for array in values.values()))
    figure = new_figure(max(side(words), 4.0), 6.5)
    means, *maps = figure.subplots(4, sharex=True, gridspec_kw=_WHOLE)
    for axes, (name, title) in zip(maps, _NAMES.items(), strict=True):
        means.plot(values[name].mean(axis=0), marker=".", label=title)
        image = axes.imshow(values[name], cmap="magma_r", vmin=low, vmax=high, aspect="auto", interpolation="nearest")
        axes.set_ylabel(f"{title}\n{len(order)} units")
        axes.set_yticks([])
    means.set_ylabel("mean over units")
    means.grid(alpha=0.3)
    means.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
    label_words(maps[-1].xaxis, words, rotation=90)
    scale = maps[1].inset_axes((1.03, 0, 0.03, 1))
    figure.colorbar(image, cax=scale, label="0: closed      1: open")
    save(figure, path)

"""Pictures of an LSTM's gates and memory, with words along their axes."""

import math
import os
from collections.abc import Sequence

import numpy as np

from awd_keras.analysis.gates import Gates
from awd_keras.analysis.memory import Memory, root_mean_square
from awd_keras.output import write_whole

# In inches: the smallest and largest axis of words, the usual space for a word, and the least for a label.
_LEAST, _MOST, _WORD, _LABEL = 2.5, 10.0, 0.32, 0.15
# Longer words would leave no room for the picture.
_LETTERS = 18


def side(words: Sequence[str]) -> float:
    """The inches that an axis of words takes."""
    return min(max(_LEAST, _WORD * len(words)), _MOST)


def new_figure(width: float, height: float):
    """An empty figure of matplotlib.

    Args:
        width: inches, of what is drawn: labels come outside.
        height: inches, too.

    Raises:
        ImportError: if matplotlib isn't installed.
    """
    # Imported here: drawing is an extra, and a Figure needs no display.
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            'A picture needs matplotlib, which is not installed. To install it: pip install "awd-keras[plot]"'
        ) from error
    return Figure(figsize=(width, height))


def label_words(axis, words: Sequence[str], **how) -> None:
    """Writes the words along an axis: all of them if there is room, else every second, every third, ...

    Args:
        axis: matplotlib's, `axes.xaxis` for example.
        words: a word for each of 0, 1, 2, ...
        **how: matplotlib's arguments of the labels.
    """
    room = side(words) / len(words)
    step = max(1, math.ceil(_LABEL / room))
    places = range(0, len(words), step)
    axis.set_ticks(places, [_short(words[place]) for place in places], fontsize=9 if room > 0.2 else 8, **how)
    for label in axis.get_ticklabels():
        # Dollar signs in a word must not start a formula.
        label.set_parse_math(False)
    axis.set_tick_params(length=0)


def _short(word):
    return word if len(word) <= _LETTERS else f"{word[: _LETTERS - 1]}…"


def save(figure, path: str | os.PathLike) -> None:
    """Writes the figure, all of it or nothing, in the format that the file's name ends in."""
    write_whole(path, lambda beside: figure.savefig(beside, dpi=120, bbox_inches="tight"))


def check_words(words, array, row):
    """Raises ValueError unless `array`, of shape (batch, time, ...), has this row, and a time step for each word."""
    batch_size, time = array.shape[:2]
    if not 0 <= row < batch_size:
        raise ValueError(f"Argument `row` must be in [0, {batch_size}), the batch. Received: row={row}")
    if isinstance(words, str) or len(words) != time:
        raise ValueError(
            f"Argument `words` must be a list of {time} words, one for each time step. Received: words={words!r}"
        )


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
    >>> values = np.random.default_rng(0).random((6, 1, 3, 4))
    >>> gates = Gates(*values)  # Such as `gate_activations` gives.
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


def plot_memory(memory: Memory, words: Sequence[str], path: str | os.PathLike, row: int = 0) -> None:
    """Draws how strongly each word is held in memory in each time step: a heat map of words by words.

    A column is the word that has just been read, a row the word whose content is held; a dark streak along a row is a
    word that is remembered. The colour is the root mean square of the weight over units. What lies below the diagonal
    hasn't been read yet.

    Source: the pictures of weights in Levy et al. 2018, arXiv 1805.03716.

    Args:
        memory: `Memory`, as `memory_weights` gives it, reduced or not.
        words: the words of the text, as many as time steps.
        path: the file to write, in a directory that exists; its name says the format, `memory.png` for example.
        row: which text of the batch.

    Raises:
        ImportError: if matplotlib isn't installed.
        ValueError: if there is no such row, or there aren't as many words as time steps.
        OSError: if the file can't be written.

    Example:

    >>> import os, tempfile
    >>> import numpy as np
    >>> from awd_keras.analysis import Memory, plot_memory
    >>> steps = np.arange(3)[:, None] - np.arange(3)
    >>> kept = 0.5**steps  # Each step halves what is there.
    >>> memory = Memory(content=np.tril(kept)[None], initial=np.array([[0.5, 0.25, 0.125]]))
    >>> path = os.path.join(tempfile.mkdtemp(), "memory.png")
    >>> plot_memory(memory, ["the", "cat", "sat"], path)
    >>> os.path.exists(path)
    True
    """
    check_words(words, memory.content, row)
    weights = memory.content[row]
    if weights.ndim == 3:
        weights = root_mean_square(weights)
    figure = new_figure(side(words), side(words))
    axes = figure.add_axes((0, 0, 1, 1))
    later = np.tri(len(words), k=-1, dtype=bool)
    # Transposed, so that time runs from left to right.
    image = axes.imshow(np.ma.array(weights.T, mask=later), cmap="magma_r", vmin=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("word just read")
    axes.set_ylabel("word in memory")
    label_words(axes.xaxis, words, rotation=90)
    label_words(axes.yaxis, words)
    scale = axes.inset_axes((1.03, 0.15, 0.03, 0.7))
    figure.colorbar(image, cax=scale, label="weight, root mean square over units")
    save(figure, path)

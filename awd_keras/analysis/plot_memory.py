"""The picture of what an LSTM holds in memory."""

import os
from collections.abc import Sequence

import numpy as np

from awd_keras.analysis.check_words import check_words
from awd_keras.analysis.memory import Memory
from awd_keras.analysis.memory_weights import root_mean_square
from awd_keras.analysis.words_figure import label_words, new_figure, save, side


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
    >>> kept = 0.5 ** (np.arange(3)[:, None] - np.arange(3))  # Each step halves what is there.
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
    # Turned: time runs from left to right.
    image = axes.imshow(np.ma.array(weights.T, mask=later), cmap="magma_r", vmin=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("word just read")
    axes.set_ylabel("word in memory")
    label_words(axes.xaxis, words, rotation=90)
    label_words(axes.yaxis, words)
    scale = axes.inset_axes((1.03, 0.15, 0.03, 0.7))
    figure.colorbar(image, cax=scale, label="weight, root mean square over units")
    save(figure, path)

"""Pictures that have words along their axes."""

import math
import os
from collections.abc import Sequence

from awd_keras.write_whole import write_whole

# In inches: the bounds of an axis of words, the room of a word where there is enough, and of a label at least.
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
            'A picture needs matplotlib, which is not installed. To have it: pip install "awd-keras[plot]"'
        ) from error
    return Figure(figsize=(width, height))


def label_words(axis, words: Sequence[str], **how) -> None:
    """Writes the words along an axis: each one as long as there is room, else every second, every third, ...

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
        # A word with two dollars in it is no formula.
        label.set_parse_math(False)
    axis.set_tick_params(length=0)


def _short(word):
    return word if len(word) <= _LETTERS else f"{word[: _LETTERS - 1]}…"


def save(figure, path: str | os.PathLike) -> None:
    """Writes the figure, all of it or nothing, in the format that the file's name ends in."""
    write_whole(path, lambda beside: figure.savefig(beside, dpi=120, bbox_inches="tight"))

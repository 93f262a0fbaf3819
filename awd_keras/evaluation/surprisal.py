"""The surprisal of each word of a text, and a table of them."""

import collections
import html
import itertools
import math
import os
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import keras
import numpy as np

from awd_keras.checks import check_choice, check_positive_integer, check_vocabulary
from awd_keras.data import UNK, BPTTDataset, Vocabulary
from awd_keras.data.own_tokens import ALL_UNITS, Tokenizer
from awd_keras.data.units import label
from awd_keras.evaluation.perplexity import check_tokens, read_nats
from awd_keras.output import replacing

# The styles of five levels, from below a quarter of an even guess to an even guess or worse. In HTML the colours are
# transparent, so that a dark page stays dark. A terminal has no transparency and its colours aren't known, so both
# background and letters are set. The last level is also underlined, for readers to whom the colours look alike.
_VEIL = "background-color: rgba(245, 80, 0, {})"
_HTML = ("", *map(_VEIL.format, (0.14, 0.28, 0.41)), f"{_VEIL.format(0.55)}; text-decoration: underline")
_ANSI = ("", "48;5;223;38;5;16", "48;5;216;38;5;16", "48;5;209;38;5;16", "48;5;160;38;5;231;4")


class WordSurprisal(NamedTuple):
    """A word at its place in a text, and its surprisal there.

    Attributes:
        word: the word, as the vocabulary has it.
        bits: `-log2 p(word)`, the probability given all words before.
    """

    word: str
    bits: float


class WordCost(NamedTuple):
    """A word of a text, with its surprisal at all its places together.

    Attributes:
        word: the word, as the vocabulary has it.
        occurrences: how often the text has it.
        total_bits: the sum of its surprisals.
        mean_bits: `total_bits / occurrences`.
    """

    word: str
    occurrences: int
    total_bits: float
    mean_bits: float


class SurprisalTable:
    """The words of a text in their order, and the surprisal of each.

    It has a length, and iterating over it gives a `WordSurprisal` for each word. `print` writes it as a table. `show`
    and `html` write the text, with each word on a colour. The colour compares its surprisal with an even guess: the
    bits of a model to which all words of the vocabulary are equally likely. Below a quarter of that there is no colour,
    then it gets stronger, and an even guess or worse is underlined. A notebook displays the HTML.

    Args:
        words: iterable of strings.
        bits: iterable of floats, the surprisal of each word.
        even_guess: float, `log2` of the number of words in the vocabulary.
        unit: the `unit` of the vocabulary. It decides whether there are spaces between the words, and which word ends a
            line.

    Raises:
        ValueError: if there aren't as many words as bits, or there is no such unit.

    Example:

    >>> from awd_keras.evaluation import SurprisalTable
    >>> table = SurprisalTable(["the", "cat", "the"], [1.0, 8.5, 3.0], even_guess=10.0)
    >>> table.bits_per_word
    4.166666666666667
    >>> [word for word, bits in table if bits > 2]
    ['cat', 'the']
    >>> table.worst(2)[1]
    WordCost(word='the', occurrences=2, total_bits=4.0, mean_bits=2.0)
    """

    def __init__(self, words: Iterable[str], bits: Iterable[float], even_guess: float, unit: str = "word"):
        check_choice("unit", unit, ALL_UNITS)
        self._unit = ALL_UNITS[unit]
        self.words = tuple(words)
        self.bits = np.array([*bits], dtype="float64")
        self.even_guess = float(even_guess)
        if self.bits.shape != (len(self.words),):
            raise ValueError(
                f"Argument `bits` must hold a number for each of the {len(self.words)} words. "
                f"Received: an array of shape {self.bits.shape}"
            )

    def __len__(self) -> int:
        return len(self.words)

    def __iter__(self) -> Iterator[WordSurprisal]:
        return map(WordSurprisal, self.words, self.bits.tolist())

    def __str__(self) -> str:
        return "\n".join(["   bits  word", *(f"{bits:7.2f}  {label(word)}" for word, bits in self)])

    def __repr__(self) -> str:
        return f"SurprisalTable({len(self)} {self._unit.plural}, {self.total_bits:.2f} bits)"

    @property
    def total_bits(self) -> float:
        """The sum of all surprisals: the bits of the text."""
        return float(self.bits.sum())

    @property
    def unknown_tokens(self) -> int:
        """The number of words that are `<unk>`."""
        return self.words.count(UNK)

    @property
    def bits_per_word(self) -> float:
        """The mean of all surprisals. Two to the power of it is the perplexity."""
        return float(self.bits.mean())

    def worst(self, count: int) -> list[WordCost]:
        """The words with the largest total surprisal over all their places, the largest first.

        Args:
            count: positive integer, the number of words; there may be fewer.

        Raises:
            ValueError: if `count` isn't a positive integer.
        """
        check_positive_integer("count", count)
        places = collections.defaultdict(list)
        for word, bits in self:
            places[word].append(bits)
        costs = [WordCost(word, len(bits), sum(bits), sum(bits) / len(bits)) for word, bits in places.items()]
        return sorted(costs, key=lambda cost: -cost.total_bits)[:count]

    def show(self) -> None:
        """Writes the coloured text to the standard output if that is a terminal, and otherwise the table.

        If the environment variable `NO_COLOR` is set (https://no-color.org), it is the table too.
        """
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        with replacing():
            print(self.ansi() if coloured else self)

    def ansi(self) -> str:
        """The text with a terminal's codes for colours, below a legend."""
        legend = "  ".join(_ansi(text, level) for level, text in enumerate(self._legend()))
        lines = (
            self._unit.separator.join(_ansi(_shown(word), self._level(bits)) for word, bits in line)
            for line in self._lines()
        )
        return "\n".join([legend, "", *lines])

    def html(self) -> str:
        """The text as an HTML element, below a legend. The tooltip of a word gives its bits."""
        legend = " ".join(_html(text, level) for level, text in enumerate(self._legend()))
        lines = (
            self._unit.separator.join(
                _html(_shown(word), self._level(bits), f' title="{bits:.2f} bits"') for word, bits in line
            )
            for line in self._lines()
        )
        # If spaces are characters of the text, all of them are shown.
        style = "" if self._unit.separator else ' style="white-space: pre-wrap"'
        return f'<div style="line-height: 1.7"><p>{legend}</p><p{style}>{"<br>".join(lines)}</p></div>'

    # The method that notebooks call.
    _repr_html_ = html

    def _level(self, bits):
        # NaN gets the last level.
        return int(4 * bits / self.even_guess) if bits < self.even_guess else 4

    def _legend(self):
        edges = [f"{quarter / 4 * self.even_guess:.1f}" for quarter in range(5)]
        steps = [f"{low} to {high} bits" for low, high in itertools.pairwise(edges)]
        return [*steps, f"{edges[-1]} or more: no better than an even guess"]

    def _lines(self):
        lines: list[list[WordSurprisal]] = [[]]
        for row in self:
            lines[-1].append(row)
            if row.word == self._unit.line_end:
                lines.append([])
        return lines


def _shown(word):
    return word if word == " " else label(word)


def _ansi(text, level):
    return f"\x1b[{_ANSI[level]}m{text}\x1b[0m" if level else text


def _html(text, level, attributes=""):
    style = f' style="{_HTML[level]}"' if level else ""
    return f"<span{attributes}{style}>{html.escape(text)}</span>"


def surprisal(
    model: keras.Model,
    vocabulary: Vocabulary | Tokenizer,
    text: str | np.ndarray,
    batch_size: int = 1,
    bptt: int = 70,
) -> SurprisalTable:
    """The surprisal of each word of a text: the bits that the model needs to encode it.

    `bits[t] = -log2 p(w[t] | w[1], ..., w[t - 1])`

    The text is read as by `perplexity`, in `batch_size` rows and windows of `bptt` tokens, with a carried state. So the
    bits of a stream of tokens add up to `bits_per_token * tokens` of its score.

    Args:
        model: a model from integer ids `(batch, time)` to logits `(batch, time, vocabulary)`, or to two outputs, of
            which the logits are the first.
        vocabulary: the `Vocabulary` of the model, or its tokenizer, as for `Vocabulary.of`.
        text: a string, in which a word that the vocabulary lacks is `<unk>`. It is read as the beginning of a line, so
            that its first word has a surprisal too. Or a 1-D integer array of token ids, whose first one has no
            surprisal, as nothing comes before it.
        batch_size: number of rows, at most the batch size that the model was built for. Each row is read from a zero
            state. Words at the end that do not fill a column of rows are left out, fewer than `batch_size`.
        bptt: tokens in a window. It changes only speed and memory.

    Returns:
        A `SurprisalTable`, which a notebook shows as coloured text, and `show()` in a terminal.

    Raises:
        ValueError: if the text has words that the vocabulary lacks and it has no `<unk>`, or is too short for the
            rows; if the vocabulary hasn't as many words as the model; or if ids are not 1-D, not integers, or
            outside the vocabulary.

    Example:

    >>> from awd_keras.data import Vocabulary
    >>> from awd_keras.evaluation import surprisal
    >>> from awd_keras.models import AWDLSTM
    >>> vocabulary = Vocabulary(["<eos>", "the", "cat", "sat"])
    >>> model = AWDLSTM(len(vocabulary), embedding_dim=8, hidden_units=12, num_layers=2)
    >>> model.build((1, None))
    >>> model.set_weights([0 * w for w in model.get_weights()])  # It knows nothing.
    >>> print(surprisal(model, vocabulary, "the cat sat"))
       bits  word
       2.00  the
       2.00  cat
       2.00  sat
    """
    vocabulary = Vocabulary.of(vocabulary)
    check_vocabulary(vocabulary, getattr(model, "vocabulary_size", len(vocabulary)))
    if isinstance(text, str):
        text = vocabulary.encode([*vocabulary.cut_by.before_text(), *vocabulary.cut(text)])
    tokens = check_tokens(text, model)
    if len(tokens) <= batch_size:
        raise ValueError(
            f"Argument `text` must have more tokens than `batch_size`, the end of a line before it included. "
            f"Received: {len(tokens)} tokens with batch_size={batch_size}"
        )
    dataset = BPTTDataset(tokens, batch_size, bptt=bptt, variable=False)
    # The rows follow each other in the text.
    bits = read_nats(model, dataset).reshape(-1) / math.log(2)
    words = vocabulary.decode(tokens[1 : len(bits) + 1])
    return SurprisalTable(words, bits, math.log2(len(vocabulary)), vocabulary.unit)

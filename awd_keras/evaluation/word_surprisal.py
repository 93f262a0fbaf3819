"""What one word of a text costs."""

from typing import NamedTuple


class WordSurprisal(NamedTuple):
    """A word where it stands in a text, and how little the model expected it there.

    Attributes:
        word: the word, as the vocabulary has it.
        bits: `-log2 p(word)`, the probability given all words before.
    """

    word: str
    bits: float

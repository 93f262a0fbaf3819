"""What all places of a word in a text cost."""

from typing import NamedTuple


class WordCost(NamedTuple):
    """A word of a text, with the surprisal of all of its places.

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

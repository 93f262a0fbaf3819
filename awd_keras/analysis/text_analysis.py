"""What is known of a model that has read a text."""

from typing import NamedTuple

from awd_keras.analysis.layer_analysis import LayerAnalysis
from awd_keras.data import UNK


class TextAnalysis(NamedTuple):
    """What the LSTMs of a model do with the words of a text.

    Attributes:
        words: the words as the model has read them, `<unk>` where the vocabulary lacks one.
        unknown: the words that the vocabulary lacks, each once.
        layers: a `LayerAnalysis` for each LSTM, the first one first.
    """

    words: tuple[str, ...]
    unknown: tuple[str, ...]
    layers: tuple[LayerAnalysis, ...]

    @property
    def unknown_tokens(self) -> int:
        """The number of words that were read as `<unk>`."""
        return self.words.count(UNK)

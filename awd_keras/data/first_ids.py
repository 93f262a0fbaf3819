"""Word ids given while a text is read, before anybody knows which words are frequent."""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from awd_keras.data.vocabulary import Vocabulary
from awd_keras.data.words import split_words

# Bytes of text in a piece. While it is split, its words take some ten times as much.
_PIECE = 2**21


class FirstIds(dict):
    """Words and their ids, in the order in which the words first came. A word that is looked up gets one.

    A text is read a piece at a time, so that its size doesn't matter. Its last line ends in `<eos>` too.
    """

    def __init__(self):
        super().__init__()
        self._counts = np.zeros(0, "int64")

    def __missing__(self, word: str) -> int:
        self[word] = new = len(self)
        return new

    def read(self, file: BinaryIO, name: str) -> Iterator[np.ndarray]:
        """The ids of a text's words, int32, a piece at a time.

        Args:
            file: the text, in UTF-8.
            name: what an error calls it.

        Raises:
            ValueError: if the text is empty or isn't UTF-8.
        """
        start, rest, last = 0, b"", b""
        while block := file.read(_PIECE):
            block = rest + block
            # A piece ends where a word ends, and so no character is cut.
            end = max(block.rfind(b" "), block.rfind(b"\n")) + 1
            piece, rest = block[:end], block[end:]
            if piece:
                yield self._ids(_decode(piece, start, name))
                start, last = start + end, piece[-1:]
        if rest:
            yield self._ids(_decode(rest, start, name) + "\n")
        elif not last:
            raise ValueError(f"{name} is empty: a split must hold at least one line")
        elif last != b"\n":
            yield self._ids("\n")

    def vocabulary(self, min_count: int) -> Vocabulary:
        """The vocabulary of all that has been read; see `Vocabulary.from_words`."""
        return Vocabulary.from_counts(dict(zip(self, self._counts.tolist(), strict=True)), min_count)

    def _ids(self, text):
        words = split_words(text)
        ids = np.fromiter(map(self.__getitem__, words), "int32", len(words))
        counts = np.bincount(ids, minlength=len(self))
        counts[: len(self._counts)] += self._counts
        self._counts = counts
        return ids


def _decode(piece, start, name):
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} isn't UTF-8: {error.reason} at byte {start + error.start}") from None

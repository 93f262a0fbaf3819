"""Word ids given while a text is read, before anybody knows which words are frequent."""

import codecs
import functools
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from awd_keras.data.vocabulary import Vocabulary
from awd_keras.data.words import EOS, UNK, WITH_UNK, split_piece

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
        head = file.read(len(codecs.BOM_UTF8)).removeprefix(codecs.BOM_UTF8)
        # An empty text has no bytes to count either.
        start, rest, last = 0 if head else len(codecs.BOM_UTF8), b"", b""
        for block in itertools.chain([head], iter(functools.partial(file.read, _PIECE), b"")):
            block = rest + block
            # A piece ends where a word ends, and so no character is cut, nor a CR from the LF that may follow.
            end = max(block.rfind(b" "), block.rfind(b"\n"), block.rfind(b"\r", 0, -1)) + 1
            piece, rest = block[:end], block[end:]
            if piece:
                yield self._ids(_decode(piece, start, name))
                start, last = start + end, piece[-1:]
        if rest:
            yield self._ids(_decode(rest, start, name) + "\n")
        elif not last:
            raise ValueError(f"{name} is empty: a text must hold at least one line")
        elif last != b"\n":
            yield self._ids("\n")

    def vocabulary(self, min_count: int) -> Vocabulary:
        """The vocabulary of all that has been read; see `Vocabulary.from_words`."""
        return Vocabulary.from_counts(dict(zip(self, self._counts.tolist(), strict=True)), min_count)

    def encoded(self, vocabulary: Vocabulary, paths: Iterable[Path]) -> np.ndarray:
        """The ids that a vocabulary gives these words, int32, in the order of their first ids.

        Args:
            vocabulary: `Vocabulary`.
            paths: the files that have been read.

        Raises:
            ValueError: if a word is unknown to the vocabulary, which has no `<unk>`.
        """
        lacking = next((word for word in self if word not in vocabulary), None)
        if lacking is None or UNK in vocabulary:
            return vocabulary.encode(self)
        place = next((place for path in paths for place in _places(path, lacking)), "a text that has changed")
        raise ValueError(
            f"Argument `vocabulary` must have all words of the text, as it has no {UNK!r} for others. Received: "
            f"{lacking!r} in {place}. {WITH_UNK}"
        )

    def _ids(self, text):
        words = split_piece(text)
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


def _places(path, word):
    """Where a text has a word, file and line; it is read anew, as lines aren't counted where nothing is amiss."""
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if word in (*split_piece(line), EOS):  # which ends a last line without a newline too
                yield f"{path}, line {number}"

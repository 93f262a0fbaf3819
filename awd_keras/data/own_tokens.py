"""The user's own tokenizers, which cut and join texts instead of a unit."""

import codecs
from collections.abc import Sequence
from typing import Protocol

from awd_keras.data.units import UNITS, Unit, decode_utf8


class Tokenizer(Protocol):
    """A tokenizer that the user has written, which can be given for a vocabulary.

    Attributes:
        words: unique strings, in the order of their ids.
    """

    @property
    def words(self) -> Sequence[str]: ...

    def encode(self, text: str, /) -> Sequence[int]:
        """The ids of a text."""

    def decode(self, ids: list[int], /) -> str:
        """The text of ids."""


class OwnTokens(Unit):
    """The tokens of the user's own tokenizer."""

    name, plural, of_characters = "tokenizer", "tokens", False

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._words = tuple(tokenizer.words)
        self._ids = {word: number for number, word in enumerate(self._words)}
        self.line_end = next(iter(self.cut("\n")[-1:]), None)

    def cut(self, text):
        ids = [int(i) for i in self._tokenizer.encode(text)]
        for i in ids:
            if not 0 <= i < len(self._words):
                raise ValueError(
                    f"Argument `vocabulary` must encode texts in the ids of its {len(self._words)} `words`. Received: "
                    f"the id {i} from its `encode`"
                )
        return [self._words[i] for i in ids]

    def read(self, file, name):
        # The whole file in one piece, as only the tokenizer knows where a text may be cut.
        yield self.cut(decode_utf8(file.read().removeprefix(codecs.BOM_UTF8), 0, name))

    def check_cache(self):
        raise ValueError(
            "Argument `cache` must be None with a tokenizer of your own, as nobody would notice that the tokenizer has "
            "changed"
        )

    def text(self, words):
        """The text that the tokenizer makes of these words."""
        return self._tokenizer.decode([self._ids[word] for word in words])

    def join(self, words):
        return self.text(list(words))

    def writer(self):
        return _Growing(self.text)


class _Growing:
    """Writes a text token by token. A token may add nothing by itself, such as half of a character."""

    def __init__(self, text):
        self._text = text
        # The tokens of the last piece, and those after it. Both are decoded together, as tokenizers write a token
        # differently at the beginning of a text.
        self._before: list[str] = []
        self._new: list[str] = []

    def add(self, word):
        self._new.append(word)
        piece = self._piece()
        if not piece or piece.endswith("\ufffd"):
            return ""
        self._before, self._new = self._new, []
        return piece

    def end(self):
        return self._piece() if self._new else ""

    def _piece(self):
        known = self._text(self._before) if self._before else ""
        return self._text([*self._before, *self._new])[len(known) :]


class LostTokens(Unit):
    """The tokens of a vocabulary that was loaded from a file, without its tokenizer: no text can be cut or joined."""

    name, plural, of_characters = "tokenizer", "tokens", False
    line_end = None

    def cut(self, text):
        raise ValueError(
            "Argument `vocabulary` must be the tokenizer that the model was trained with, to cut and to join texts. "
            "Received: its words alone, from a file"
        )

    def before_text(self):
        return self.cut("")

    def read(self, file, name):
        return iter([self.cut("")])

    def writer(self):
        self.cut("")


# By their names in files.
ALL_UNITS = {**UNITS, LostTokens.name: LostTokens()}

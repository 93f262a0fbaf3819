"""Cutting texts into words, characters or bytes, and joining them again."""

import codecs
import functools
import itertools
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Protocol

from awd_keras.checks import check_choice

EOS = "<eos>"
"""The word that stands for the end of a line."""

# The byte-order mark, with which Windows' Notepad, for example, begins a file. It doesn't belong to the text.
BYTE_ORDER_MARK = "\ufeff"

# Bytes of text that are read at a time. Cut into words, they take about ten times as much memory.
_BLOCK = 2**21


class Writer(Protocol):
    """Joins a text word by word."""

    def add(self, word: str) -> str:
        """What the word adds to the text."""

    def end(self) -> str:
        """What remains to be written when the text ends."""


class Unit:
    """Cuts texts into a vocabulary's words, and joins them again.

    Attributes:
        name: its name in files and as the argument `unit`.
        plural: the name of its words in messages.
        line_end: the word that ends a line. It also comes before a text's first word. None if there is none.
        separator: what stands between two words where a text is shown word by word.
        of_characters: whether bits per character are reported beside perplexities.
    """

    name: str
    plural: str
    line_end: str | None = "\n"
    separator = ""
    of_characters = True

    def cut(self, text: str) -> list[str]:
        """The words of a text."""
        return list(text)

    def read(self, file: BinaryIO, name: str) -> Iterator[list[str]]:
        """The words of a file, a piece at a time.

        Raises:
            ValueError: if the unit can't read it; the message begins with `name`.
        """
        raise NotImplementedError

    def before_text(self) -> list[str]:
        """The words that a model reads before a text's first word, so that the text begins on a new line.

        Raises:
            ValueError: if there is no word for the end of a line, as with some tokenizers.
        """
        if self.line_end is None:
            raise ValueError(
                "Argument `vocabulary` must have a token for the end of a line, which comes before a text. Received: a "
                "tokenizer that has none"
            )
        return [self.line_end]

    def check_cache(self) -> None:
        """Raises ValueError if nothing would show that a cache of ids is out of date."""

    def writer(self) -> Writer:
        """A new `Writer`."""
        return _AsItIs()

    def join(self, words: Iterable[str]) -> str:
        """The text of these words."""
        writer = self.writer()
        return "".join([*map(writer.add, words), writer.end()])


class _AsItIs:
    def add(self, word):
        return word

    def end(self):
        return ""


class Words(Unit):
    """Words separated by whitespace. Every line end (LF, CR LF or CR) is the word `<eos>`, the last one too."""

    name, plural = "word", "words"
    line_end, separator, of_characters = EOS, " ", False

    def cut(self, text):
        return _split(text.removeprefix(BYTE_ORDER_MARK))

    def read(self, file, name):
        head = file.read(len(codecs.BOM_UTF8)).removeprefix(codecs.BOM_UTF8)
        # The position of the text's first byte, after the byte-order mark if there is one.
        start, rest, last = 0 if head else len(codecs.BOM_UTF8), b"", b""
        for block in itertools.chain([head], _blocks(file)):
            block = rest + block
            # A piece ends where a word ends, so that neither a character is cut nor a CR LF.
            end = max(block.rfind(b" "), block.rfind(b"\n"), block.rfind(b"\r", 0, -1)) + 1
            piece, rest = block[:end], block[end:]
            if piece:
                yield _split(decode_utf8(piece, start, name))
                start, last = start + end, piece[-1:]
        if rest:
            yield _split(decode_utf8(rest, start, name) + "\n")
        elif last not in (b"", b"\n"):
            yield [EOS]

    def writer(self):
        return _Spaced()


class _Spaced:
    def __init__(self):
        self._before = EOS

    def add(self, word):
        before, self._before = self._before, word
        if word == EOS:
            return "\n"
        return word if before == EOS else f" {word}"

    def end(self):
        return ""


class Characters(Unit):
    """Every code point, line ends too. No `<eos>` is added, and a byte-order mark at a file's beginning is left out."""

    name, plural = "character", "characters"

    def read(self, file, name):
        decoder = codecs.getincrementaldecoder("utf-8")()
        head = file.read(len(codecs.BOM_UTF8)).removeprefix(codecs.BOM_UTF8)
        try:
            for block in itertools.chain([head], _blocks(file)):
                yield list(decoder.decode(block))
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            # The decoder's bytes end at the file's position.
            place = file.tell() - len(error.object) + error.start
            raise ValueError(
                f'{name} isn\'t UTF-8: {error.reason} at byte {place}. With `unit="byte"`, on the command line --unit '
                "byte, any file is read."
            ) from None


class Bytes(Unit):
    """Every byte of a file, or of a text in UTF-8. Bytes that aren't ASCII characters have names like `<0xE9>`."""

    name, plural = "byte", "bytes"
    names = tuple(chr(byte) if byte < 128 else f"<0x{byte:02X}>" for byte in range(256))

    def cut(self, text):
        try:
            return [self.names[byte] for byte in text.encode("utf-8")]
        except UnicodeEncodeError as error:
            raise ValueError(
                "Argument `text` must be text that UTF-8 can hold. Received: half a character, "
                f"{text[error.start]!r}, at position {error.start}"
            ) from None

    def read(self, file, name):
        for block in _blocks(file):
            yield [self.names[byte] for byte in block]

    def writer(self):
        return _Decoding()


_BYTES = {name: bytes([byte]) for byte, name in enumerate(Bytes.names)}


class _Decoding:
    def __init__(self):
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, word):
        byte = _BYTES.get(word)
        return self._decoder.decode(byte) if byte is not None else self._decoder.decode(b"", final=True) + word

    def end(self):
        return self._decoder.decode(b"", final=True)


UNITS = {unit.name: unit for unit in (Words(), Characters(), Bytes())}


def unit_named(name: str) -> Unit:
    """The unit of this name.

    Raises:
        ValueError: if there is none.
    """
    check_choice("unit", name, UNITS)
    return UNITS[name]


def label(word: str) -> str:
    """A word as a table shows it: in quotes if it is whitespace or can't be printed."""
    return repr(word) if len(word) == 1 and (word.isspace() or not word.isprintable()) else word


def _split(text):
    # Not `str.splitlines()`, which also splits at a dozen other characters.
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return lines.replace("\n", f" {EOS} ").split()


def _blocks(file):
    return iter(functools.partial(file.read, _BLOCK), b"")


def decode_utf8(piece, start, name):
    """Decodes a piece of a file, whose first byte is byte `start` there.

    Raises:
        ValueError: if it isn't UTF-8; the message begins with `name`.
    """
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} isn't UTF-8: {error.reason} at byte {start + error.start}") from None

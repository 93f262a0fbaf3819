"""Words and their ids."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from awd_keras.checks import check_choice, check_positive_integer
from awd_keras.data.own_tokens import ALL_UNITS, OwnTokens, Tokenizer
from awd_keras.data.pickled_words import read_pickled_words
from awd_keras.data.units import EOS, Unit, unit_named
from awd_keras.output import write_whole

UNK = "<unk>"
"""The word that stands for all words that the vocabulary lacks."""

# Advice for an error about an unknown word.
WITH_UNK = f"A model that is trained with `min_count=2`, on the command line --min-count 2, has {UNK!r}."


class Vocabulary:
    """An immutable list of words; a word's id is its place in the list.

    It also cuts texts into words, and joins them again. With `unit="word"`, whitespace separates the words of a text,
    and the end of a line is the word `<eos>`. With `"character"`, each code point is a word, line ends too; with
    `"byte"`, each byte of the text in UTF-8. For these two, cutting and joining a text gives the same text.

    Args:
        words: iterable of unique strings, in the order of their ids. Bytes are named by their ASCII characters, and
            from 128 on like `<0xE9>`.
        unit: `"word"`, `"character"` or `"byte"`.

    Raises:
        ValueError: if `words` isn't an iterable of strings, is empty or holds a word twice, or `unit` isn't one of the
            three.

    Example:

    >>> from awd_keras.data import Vocabulary
    >>> vocabulary = Vocabulary.from_words("the cat and the dog and the <unk>".split())
    >>> vocabulary.words
    ('the', 'and', 'cat', 'dog', '<unk>')
    >>> ids = vocabulary.encode(["the", "dog", "sleeps"])
    >>> ids.tolist()
    [0, 3, 4]
    >>> vocabulary.decode(ids)
    ['the', 'dog', '<unk>']
    >>> characters = Vocabulary.from_words("the cat", unit="character")
    >>> characters.cut("eat"), characters.join(["e", "a", "t"])
    (['e', 'a', 't'], 'eat')
    """

    def __init__(self, words: Iterable[str], unit: str = "word"):
        self.cut_by: Unit = unit_named(unit)
        if isinstance(words, str):
            raise ValueError(
                f"Argument `words` must be an iterable of strings, not one string. Received: words={words!r}"
            )
        self._words = tuple(words)
        if not self._words:
            raise ValueError("Argument `words` must hold at least one word. Received: words=()")
        self._ids: dict[str, int] = {}
        for word in self._words:
            if not isinstance(word, str):
                raise ValueError(f"Argument `words` must hold strings. Received: {word!r} in words")
            if word in self._ids:
                raise ValueError(f"Argument `words` must hold each word once. Received: {word!r} twice")
            self._ids[word] = len(self._ids)

    @classmethod
    def of(cls, vocabulary: "Vocabulary | Tokenizer") -> "Vocabulary":
        """Returns a vocabulary unchanged, and makes one of your own tokenizer.

        The tokenizer then cuts and joins the texts. `save` writes its words, but not the tokenizer.

        Args:
            vocabulary: `Vocabulary`, or a tokenizer: an object with `words` (a sequence of unique strings, in the order
                of their ids), `encode(text)` (the ids of a text) and `decode(ids)` (the text of ids).

        Raises:
            ValueError: if it's neither, or `encode` gives an id that has no word.
        """
        if isinstance(vocabulary, Vocabulary):
            return vocabulary
        lacking = [name for name in ("words", "encode", "decode") if not hasattr(vocabulary, name)]
        if lacking:
            raise ValueError(
                "Argument `vocabulary` must be a `Vocabulary`, or a tokenizer with `words`, `encode(text)` and "
                f"`decode(ids)`. Received: {type(vocabulary).__name__}, without {lacking[0]!r}"
            )
        return cls._cut_by(OwnTokens(vocabulary), vocabulary.words)

    @classmethod
    def _cut_by(cls, unit, words):
        new = cls(words)
        new.cut_by = unit
        return new

    @classmethod
    def from_words(cls, words: Iterable[str], min_count: int = 1, unit: str = "word") -> "Vocabulary":
        """Makes the vocabulary of a text.

        Words are sorted by descending frequency, and equally frequent ones by their first occurrence. An adaptive
        softmax needs this order of ids.

        Args:
            words: iterable of strings, the text's words in their order.
            min_count: positive integer. Words that occur less often count as `<unk>`; `<eos>` and `<unk>` themselves
                are kept however rare they are.
            unit: as in `Vocabulary`. For `"character"`, `words` may be the text itself.

        Raises:
            ValueError: if `words` isn't an iterable of strings or is empty, `min_count` isn't a positive integer, or
                there is no such unit.
        """
        if isinstance(words, str) and unit != "character":
            raise ValueError(
                f"Argument `words` must be an iterable of strings, not one string. Received: words={words[:40]!r}"
            )
        return cls.from_counts(Counter(words), min_count, unit)

    @classmethod
    def from_counts(cls, counts: Mapping[str, int], min_count: int = 1, unit: str = "word") -> "Vocabulary":
        """As `from_words`, from the counts of a text's words.

        Args:
            counts: mapping of each word to its number of occurrences, in the order of first occurrence.
            min_count: positive integer, as in `from_words`.
            unit: as in `Vocabulary`.

        Raises:
            ValueError: if there are no words, `min_count` isn't a positive integer, or there is no such unit.
        """
        check_positive_integer("min_count", min_count)
        kept: Counter[str] = Counter()
        for word, count in counts.items():
            kept[word if count >= min_count or word in (EOS, UNK) else UNK] += count
        # most_common() leaves equally frequent words in the order of first occurrence.
        return cls((word for word, _ in kept.most_common()), unit)

    @property
    def words(self) -> tuple[str, ...]:
        """The words, in the order of their ids."""
        return self._words

    @property
    def unit(self) -> str:
        """`"word"`, `"character"`, `"byte"`, or `"tokenizer"` for your own tokenizer."""
        return self.cut_by.name

    def cut(self, text: str) -> list[str]:
        """Cuts a text into words, whether the vocabulary has them or not.

        Args:
            text: string.
        """
        return self.cut_by.cut(text)

    def join(self, words: Iterable[str]) -> str:
        """Joins words to a text.

        Args:
            words: iterable of strings. Bytes that aren't valid UTF-8 become U+FFFD.
        """
        return self.cut_by.join(words)

    def __len__(self) -> int:
        return len(self._words)

    def __contains__(self, word: object) -> bool:
        return word in self._ids

    def __iter__(self) -> Iterator[str]:
        return iter(self._words)

    def __getitem__(self, word: str) -> int:
        return self._ids[word]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and (self._words, self.unit) == (other._words, other.unit)

    def __hash__(self) -> int:
        return hash(self._words)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} {self.cut_by.plural})"

    def encode(self, words: Iterable[str]) -> np.ndarray:
        """Returns the ids of words.

        Args:
            words: iterable of strings. A word that the vocabulary lacks gets the id of `<unk>`.

        Returns:
            int32 array of shape (number of words,).

        Raises:
            ValueError: if `words` is one string instead of an iterable of words, or a word is unknown and the
                vocabulary has no `<unk>`.
        """
        if isinstance(words, str):
            raise ValueError(
                f"Argument `words` must be an iterable of words: split the text first. Received: words={words[:40]!r}"
            )
        ids = self._ids
        if UNK in ids:
            unknown = ids[UNK]
            return np.array([ids.get(word, unknown) for word in words], dtype=np.int32)
        try:
            return np.array([ids[word] for word in words], dtype=np.int32)
        except KeyError as error:
            raise ValueError(
                "Argument `words` must hold words of the vocabulary only, as it has no "
                f"{UNK!r} for others. Received: {error.args[0]!r}. {WITH_UNK}"
            ) from None

    def count_unknown(self, ids: np.ndarray) -> int:
        """Counts the ids of `<unk>`, whether `<unk>` is in the text itself or stands for an unknown word.

        Args:
            ids: integer array.

        Returns:
            Their number, 0 where the vocabulary has no `<unk>`.
        """
        return int(np.count_nonzero(np.equal(ids, self._ids[UNK]))) if UNK in self else 0

    def decode(self, ids: Iterable[int] | np.ndarray) -> list[str]:
        """Returns the words with these ids.

        Args:
            ids: integers in [0, `len(vocabulary)`), of shape (number of words,).

        Raises:
            ValueError: if an id is outside the vocabulary.
        """
        words = []
        for i in ids:
            if not 0 <= i < len(self._words):
                raise ValueError(f"Argument `ids` must hold integers in [0, {len(self._words)}). Received: {i} in ids")
            words.append(self._words[i])
        return words

    def save(self, path: str | os.PathLike) -> None:
        """Writes the vocabulary as JSON, `{"words": [...], "unit": "word"}`. An existing file is replaced.

        Args:
            path: the file to write, in a directory that exists.
        """
        text = json.dumps({"words": self._words, "unit": self.unit}, ensure_ascii=False) + "\n"
        write_whole(path, lambda beside: beside.write_text(text, encoding="utf-8"))

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Vocabulary":
        """Loads a vocabulary that `save` wrote.

        A file without a unit, from an earlier version, is read with the unit `"word"`. A loaded vocabulary of a
        tokenizer can't cut or join texts.

        Args:
            path: the file to read.

        Raises:
            OSError: if the file can't be read.
            ValueError: if the file doesn't hold a vocabulary.
        """
        try:
            content = json.loads(Path(path).read_bytes().decode("utf-8"))
            if not isinstance(content, dict) or not isinstance(content.get("words"), list):
                raise ValueError('no {"words": [...]} in it')
            unit = content.get("unit", "word")
            check_choice("unit", unit, ALL_UNITS)
            vocabulary = cls._cut_by(ALL_UNITS[unit], content["words"])
            # JSON can hold lone surrogates, which are halves of characters and can't be printed.
            "".join(vocabulary).encode("utf-8")
            return vocabulary
        except (ValueError, RecursionError) as error:
            reason = str(error).replace("\n", " ")
            raise ValueError(f"{os.fspath(path)!r} doesn't hold a vocabulary: {reason}") from error

    @classmethod
    def from_pickled_list(cls, path: str | os.PathLike) -> "Vocabulary":
        """Loads a pickled list of words, such as fastai's `itos`, without unpickling it.

        Args:
            path: the file to read.

        Raises:
            OSError: if the file can't be read.
            ValueError: if it holds anything but a list of unique strings.
        """
        content = Path(path).read_bytes()
        try:
            return cls(read_pickled_words(content))
        except Exception as error:  # damaged bytes may raise anything
            reason = str(error).replace("\n", " ")
            raise ValueError(f"{os.fspath(path)!r} doesn't hold a pickled list of words: {reason}") from error

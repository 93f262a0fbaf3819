"""The ids of a text's words, in memory, or in files if the text is larger than memory."""

import functools
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import keras
import numpy as np

from awd_keras.data.units import Unit
from awd_keras.data.vocabulary import UNK, WITH_UNK, Vocabulary
from awd_keras.output import write_whole, writing


class FirstIds(dict):
    """Words and their ids, in the order in which the words first occurred. Looking up a new word gives it an id.

    A text is read a piece at a time, so that its size doesn't matter.

    Args:
        unit: the `Unit` that reads texts.
    """

    def __init__(self, unit: Unit):
        super().__init__()
        self._unit = unit
        self._counts = np.zeros(0, "int64")

    def __missing__(self, word: str) -> int:
        self[word] = new = len(self)
        return new

    def read(self, file: BinaryIO, name: str) -> Iterator[np.ndarray]:
        """The ids of a text's words, int32, a piece at a time.

        Args:
            file: the text.
            name: the name of the text in error messages.

        Raises:
            ValueError: if the text is empty, or isn't UTF-8 and the unit needs that.
        """
        count = 0
        for words in self._unit.read(file, name):
            count += len(words)
            yield self._of(words)
        if not count:
            raise ValueError(f"{name} is empty: a text must hold at least one line")

    def vocabulary(self, min_count: int) -> Vocabulary:
        """The vocabulary of all that has been read; see `Vocabulary.from_words`."""
        counts = dict(zip(self, self._counts.tolist(), strict=True))
        return Vocabulary.from_counts(counts, min_count, self._unit.name)

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
        found = (place for path in paths for place in self._places(path, lacking))
        place = next(found, "a text that has changed")
        raise ValueError(
            f"Argument `path` must hold words of the vocabulary only, as it has no {UNK!r} for others. Received: "
            f"{lacking!r} in {place}. {WITH_UNK}"
        )

    def _of(self, words):
        ids = np.fromiter(map(self.__getitem__, words), "int32", len(words))
        counts = np.bincount(ids, minlength=len(self))
        counts[: len(self._counts)] += self._counts
        self._counts = counts
        return ids

    def _places(self, path, word):
        """The places of a word in a text, file and line. Reads the text again, as lines are counted only for errors."""
        line, line_end = 1, self._unit.line_end or ""
        with path.open("rb") as file:
            for words in self._unit.read(file, str(path)):
                if word in words:
                    yield f"{path}, line {line + words[: words.index(word)].count(line_end)}"
                line += words.count(line_end)


# The number of ids that are processed at a time.
_PIECE = 2**20
# Increased whenever texts are read differently, so that older files of ids aren't used. 2: byte-order marks and CR.
# 3: files that a full disk may have cut short.
_READING = 3


class CorpusCache:
    """A directory with the ids of texts. A text that has been encoded once is read from there.

    Each set of texts (by their sizes and SHA-256) with the settings of its vocabulary has its own directory. That holds
    `vocabulary.json`, and each text's ids in `0.ids`, `1.ids`, ... (little-endian int32). It gets its name when all is
    written, so that no process reads what an interrupted one has left.

    Args:
        directory: path of the directory, made if it doesn't exist.
    """

    def __init__(self, directory: str | os.PathLike):
        self.directory = Path(directory)

    def encode(
        self, paths: Sequence[Path], unit: Unit, min_count: int, vocabulary: Vocabulary | None = None, verbose: int = 1
    ) -> tuple[list[np.ndarray], Vocabulary]:
        """The ids of each text (1-D, int32, read-only) and their vocabulary.

        Args:
            paths: the texts' files.
            unit: the `Unit` that reads them, that of the `vocabulary` if there is one.
            min_count: as in `Vocabulary.from_words`, for the words of all texts.
            vocabulary: `Vocabulary`, or None to make one of the texts' words.
            verbose: 1 for Keras's progress bar while texts are read, 0 for silence.

        Raises:
            ValueError: if a text is empty or isn't UTF-8, a word is unknown to a `vocabulary` without `<unk>`, or the
                unit is the user's own tokenizer.
            OSError: if the files can't be written.
        """
        unit.check_cache()
        folder = self.directory / _name(paths, unit, min_count, vocabulary)
        if not folder.is_dir():
            # With the process's id, as the processes of a distributed training all write at the same time.
            beside = folder.with_name(f".writing-{folder.name}-{os.getpid()}")
            # A killed process may have left one: in a container, the next one often has the same id.
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir(parents=True)
            try:
                _write(beside, paths, unit, min_count, vocabulary, verbose)
                _rename(beside, folder)
            finally:
                shutil.rmtree(beside, ignore_errors=True)
        files = [folder / f"{place}.ids" for place in range(len(paths))]
        return [_map(file) for file in files], Vocabulary.load(folder / "vocabulary.json")


def _name(paths, unit, min_count, vocabulary):
    """The name of the directory for these texts and this vocabulary: a checksum of all that the ids depend on."""
    made_by = min_count if vocabulary is None else vocabulary.words
    # The unit "word" adds nothing, so that caches of earlier versions keep their names.
    others = [] if unit.name == "word" else [unit.name]
    key = [[_fingerprint(path) for path in paths], made_by, _READING, *others]
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]


def _fingerprint(path):
    with path.open("rb") as file:
        return os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _write(folder, paths, unit, min_count, vocabulary, verbose):
    megabytes = sum(path.stat().st_size for path in paths) / 1e6
    bar = keras.utils.Progbar(megabytes, unit_name="MB", verbose=verbose)
    first = FirstIds(unit)
    read = [_keep(_watched(first, path, bar), folder) for path in paths]
    if vocabulary is None:
        vocabulary = first.vocabulary(min_count)
    vocabulary.save(folder / "vocabulary.json")
    final = first.encoded(vocabulary, paths)
    for place, ids in enumerate(read):
        write_whole(folder / f"{place}.ids", functools.partial(_write_ids, final=final, ids=ids))


def _watched(first, path, bar) -> Iterator[np.ndarray]:
    """The ids of a file's words, while a bar shows how much has been read."""
    before = 0
    with path.open("rb") as file:
        for ids in first.read(file, str(path)):
            yield ids
            bar.add((file.tell() - before) / 1e6)
            before = file.tell()


def pieces(ids: np.ndarray) -> Iterator[np.ndarray]:
    """An array of ids, which may be larger than memory, piece by piece."""
    return (ids[start : start + _PIECE] for start in range(0, len(ids), _PIECE))


def _keep(read, folder):
    """Writes all pieces to a temporary file without a name, which is deleted with the array that maps it."""
    with writing(folder), tempfile.TemporaryFile(dir=folder) as file:
        for ids in read:
            _append(file, ids)
        return np.memmap(file, "int32", mode="r")


def _append(file, ids):
    """Writes ids, or raises. On a full disk, `ndarray.tofile` can lose the last ones without a word."""
    file.write(ids)
    file.flush()


def _write_ids(path, *, final, ids):
    with path.open("wb") as file:
        for piece in pieces(ids):
            _append(file, final[piece].astype("<i4"))


def _rename(beside, folder):
    try:
        beside.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was first, and wrote the same
            raise


def _map(file):
    return np.asarray(np.memmap(file, "<i4", mode="r"))

"""Text in three splits: training, validation, test."""

import contextlib
import hashlib
import io
import os
from pathlib import Path

import numpy as np

from awd_keras.checks import check_integers
from awd_keras.data.own_tokens import Tokenizer
from awd_keras.data.units import unit_named
from awd_keras.data.vocabulary import Vocabulary
from awd_keras.data.word_ids import CorpusCache, FirstIds, pieces

SPLITS = ("train", "valid", "test")


def check_ids(corpus: "Corpus") -> None:
    """Raises ValueError unless the splits hold ids of the corpus's vocabulary."""
    words = len(corpus.vocabulary)
    for split in SPLITS:
        tokens = getattr(corpus, split)
        check_integers(split, tokens)
        for piece in pieces(tokens):  # a text may be larger than memory
            for value in (piece.min(), piece.max()):
                if not 0 <= value < words:
                    raise ValueError(
                        f"Argument `{split}` of the corpus must hold ids in [0, {words}), the vocabulary. "
                        f"Received: {value}"
                    )


class Corpus:
    """Three streams of word ids and their vocabulary.

    Words are separated by whitespace, and each line, a blank one too, ends in `<eos>`. Lines end in LF, CR LF or CR,
    and a byte-order mark before the first word is left out. With `unit="character"`, the words are all code points of
    the text, with `"byte"` all its bytes: line ends stay as they are, and nothing is added.

    Source: section 5 ("Experiment details"): Penn Treebank and WikiText-2 are read this way.

    Args:
        train: 1-D int32 array, the word ids of the training split.
        valid: 1-D int32 array, the word ids of the validation split.
        test: 1-D int32 array, the word ids of the test split.
        vocabulary: `Vocabulary`, which gives the ids their words; or a tokenizer, as for `Vocabulary.of`.

    Attributes:
        source: where the text can be read again, a dictionary that JSON can hold. It has the absolute `directory` (None
            for Python's documentation), the `unit`, the `min_count`, and the `cache` if there is one. For a corpus made
            of arrays, `source` is None.

    Example:

    >>> from awd_keras.data import Corpus
    >>> corpus = Corpus.python_docs()
    >>> len(corpus.train) > 5 * len(corpus.valid)
    True
    >>> bool(corpus.vocabulary["<eos>"] in corpus.train)
    True
    """

    def __init__(self, train: np.ndarray, valid: np.ndarray, test: np.ndarray, vocabulary: Vocabulary | Tokenizer):
        self.train = train
        self.valid = valid
        self.test = test
        self.vocabulary = Vocabulary.of(vocabulary)
        self.source: dict | None = None

    def __repr__(self) -> str:
        sizes = ", ".join(f"{split}={len(getattr(self, split))}" for split in SPLITS)
        return f"Corpus({sizes} tokens, {len(self.vocabulary)} {self.vocabulary.cut_by.plural})"

    @classmethod
    def from_directory(
        cls,
        path: str | os.PathLike,
        min_count: int = 1,
        vocabulary: Vocabulary | Tokenizer | None = None,
        *,
        unit: str = "word",
        cache: str | os.PathLike | None = None,
        verbose: int = 1,
    ) -> "Corpus":
        """Reads `train.txt`, `valid.txt` and `test.txt`, in UTF-8, or, with `unit="byte"`, whatever they hold.

        A text larger than memory needs a `cache`. The ids are then written once to files there, and the corpus's arrays
        are read-only views of these files (memory-mapped). The files are used again as long as the texts have the same
        size and SHA-256.

        Args:
            path: the directory that holds the three files.
            min_count: positive integer. Words that appear less often in the three splits together
                become `<unk>`. No effect if `vocabulary` is given.
            vocabulary: `Vocabulary` to encode the text with, for example that of a trained model to evaluate. By
                default it is made of the words of the three splits, as in the paper. Or a tokenizer of your own, as
                `Vocabulary.of` takes it, which gets each file as one text.
            unit: `"word"`, `"character"` or `"byte"`, what the texts are cut in; see `Corpus`. No effect if
                `vocabulary` is given, which has its own.
            cache: directory for the files of ids, made if it doesn't exist; by default the ids are kept in memory.
                It holds a directory for each combination of text, `min_count` and `vocabulary`.
            verbose: 1 for Keras's progress bar while a cache is written, 0 for silence.

        Raises:
            FileNotFoundError: if the directory or one of the files is missing.
            ValueError: if there is no such unit, a file is empty or isn't UTF-8, a word is unknown to a `vocabulary`
                without `<unk>`, a tokenizer gives ids that none of its words has, or is given together with `cache`.
            OSError: if the cache can't be written, for example on a full disk.
        """
        cut_by = unit_named(unit)
        if vocabulary is not None:
            vocabulary = Vocabulary.of(vocabulary)
            cut_by = vocabulary.cut_by
        path = Path(path)
        if not path.is_dir():
            raise FileNotFoundError(
                "Argument `path` must be a directory with train.txt, valid.txt and test.txt. "
                f"Received: path={os.fspath(path)!r}, which is no directory"
            )
        paths = [path / f"{split}.txt" for split in SPLITS]
        for file in paths:
            if not file.is_file():
                raise FileNotFoundError(f"Argument `path` must be a directory with {file.name}: {file} is missing")
        if cache is None:
            (train, valid, test), words = _encode_files(paths, cut_by, min_count, vocabulary)
        else:
            (train, valid, test), words = CorpusCache(cache).encode(paths, cut_by, min_count, vocabulary, verbose)
        corpus = cls(train, valid, test, words)
        if vocabulary is None:
            corpus.source = {"directory": str(path.resolve()), "unit": unit, "min_count": min_count}
            if cache is not None:
                corpus.source["cache"] = str(Path(cache).resolve())
        return corpus

    @classmethod
    def python_docs(cls, min_count: int = 3, unit: str = "word") -> "Corpus":
        """The language reference that every CPython carries, in `pydoc_data.topics`. No download.

        About 50,000 words on Python 3.11, fewer or more on other versions. A paragraph that several
        topics share is kept only in the first of them, so that no text is in two splits. The
        validation and test splits are whole topics, about a tenth of the text each.

        Args:
            min_count: positive integer. Words that appear less often become `<unk>`; the default
                leaves about 2,400 words, few enough to learn in a minute or two.
            unit: as for `from_directory`.

        Raises:
            ValueError: if there is no such unit, or `min_count` isn't a positive integer.
            ImportError: if this Python comes without `pydoc_data`.
        """
        try:
            from pydoc_data.topics import topics
        except ImportError as error:
            raise ImportError(
                "This Python comes without its documentation (`pydoc_data.topics`), which "
                "`Corpus.python_docs()` reads. Install the whole standard library, or use "
                "`Corpus.from_directory()`."
            ) from error
        cut_by = unit_named(unit)
        texts = {split: io.BytesIO(text.encode()) for split, text in zip(SPLITS, _split_topics(topics), strict=True)}
        (train, valid, test), vocabulary = _encode(texts, cut_by, min_count)
        corpus = cls(train, valid, test, vocabulary)
        corpus.source = {"directory": None, "unit": unit, "min_count": min_count}
        return corpus

    @property
    def unknown_tokens(self) -> dict[str, int]:
        """How many tokens of each split are `<unk>`."""
        return {split: sum(map(self.vocabulary.count_unknown, pieces(getattr(self, split)))) for split in SPLITS}

    def backwards(self) -> "Corpus":
        """The same texts in reverse order, for a model that predicts the previous word."""
        return Corpus(self.train[::-1], self.valid[::-1], self.test[::-1], self.vocabulary)

    @property
    def words_seen_once(self) -> int:
        """How many words of the vocabulary occur exactly once in the three splits together."""
        counts = np.zeros(len(self.vocabulary), "int64")
        for split in SPLITS:
            for piece in pieces(getattr(self, split)):
                counts += np.bincount(piece, minlength=len(counts))
        return int(np.count_nonzero(counts == 1))

    @property
    def digest(self) -> str:
        """Checksums of the words and of the ids in each split, to tell one corpus from another."""
        checksum = hashlib.sha256("\n".join(self.vocabulary).encode("utf-8", "surrogatepass"))
        for split in SPLITS:
            ids = getattr(self, split)
            checksum.update(b"\n%d\n" % len(ids))
            for piece in pieces(ids):
                checksum.update(np.asarray(piece, "<i4").tobytes())
        return checksum.hexdigest()


def encode_file(path: str | os.PathLike, vocabulary: Vocabulary | Tokenizer) -> np.ndarray:
    """The word ids of one text, read as `Corpus` reads its three.

    Args:
        path: the file.
        vocabulary: `Vocabulary` to encode the text in, or a tokenizer, as for `Vocabulary.of`. A word that it lacks is
            `<unk>`.

    Returns:
        int32 array of shape (number of words,).

    Raises:
        OSError: if the file can't be read.
        ValueError: if it is empty or isn't UTF-8, or a word is unknown to a `vocabulary` without `<unk>`; the error
            tells the file, the line and the word.

    Example:

    >>> import pathlib, tempfile
    >>> from awd_keras.data import Vocabulary, encode_file
    >>> path = pathlib.Path(tempfile.mkdtemp(), "text.txt")
    >>> path.write_text("the cat\\nthe dog\\n")
    16
    >>> encode_file(path, Vocabulary(["<eos>", "<unk>", "the", "cat"])).tolist()
    [2, 3, 0, 2, 1, 0]
    """
    vocabulary = Vocabulary.of(vocabulary)
    (ids,), _ = _encode_files([Path(path)], vocabulary.cut_by, 1, vocabulary)
    return ids


def _encode_files(paths, unit, min_count, vocabulary):
    with contextlib.ExitStack() as stack:
        texts = {str(path): stack.enter_context(path.open("rb")) for path in paths}
        return _encode(texts, unit, min_count, vocabulary, paths)


def _encode(texts, unit, min_count, vocabulary=None, paths=()):
    """The ids of each text, and their vocabulary."""
    first = FirstIds(unit)
    splits = [np.concatenate([*first.read(file, name)]) for name, file in texts.items()]
    if vocabulary is None:
        vocabulary = first.vocabulary(min_count)
    final = first.encoded(vocabulary, paths)
    return [final[ids] for ids in splits], vocabulary


def _split_topics(topics: dict[str, str]) -> list[str]:
    """The training, validation and test texts. Each holds whole topics, and no paragraph is in two of them."""
    shares = (0.8, 0.1, 0.1)
    sizes = [0, 0, 0]
    texts: list[list[str]] = [[], [], []]
    seen = set()
    for name in sorted(topics):
        paragraphs = []
        for paragraph in topics[name].split("\n\n"):
            # A topic may be repeated inside a longer one with other spacing.
            words = tuple(paragraph.split())
            if words and words not in seen:
                seen.add(words)
                paragraphs.append(paragraph.strip("\n"))
        text = "\n\n".join(paragraphs)
        # The topic goes to the split that is furthest below its share, which sends long topics to training.
        total = sum(sizes) + len(text)
        lacks = [share * total - size for share, size in zip(shares, sizes, strict=True)]
        split = lacks.index(max(lacks))
        sizes[split] += len(text)
        if text:
            texts[split].append(text + "\n")
    return ["".join(text) for text in texts]

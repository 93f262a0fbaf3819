"""Reading pretrained word vectors from files of text."""

import codecs
import os

import numpy as np

from awd_keras.data.own_tokens import Tokenizer
from awd_keras.data.vocabulary import Vocabulary


def read_vectors(path: str | os.PathLike, vocabulary: Vocabulary | Tokenizer) -> tuple[np.ndarray, list[str]]:
    """Reads a table of embeddings for a vocabulary from a file of word vectors.

    The file is text in UTF-8, as GloVe, fastText and word2vec write it: a word and its numbers in each line, separated
    by single spaces. fastText and word2vec write a first line with the number of words and the size, which is skipped.
    So are lines whose word contains spaces, which some of GloVe's files have. If a word has two lines, the first one
    counts. The file is read line by line, and only the rows of the vocabulary's words are kept.

    Words that the file lacks, usually `<eos>` and `<unk>` too, get random values, with each column's mean and standard
    deviation over the rows that were found. So their vectors are as large as the others, and all differ. A model whose
    table isn't trained, or whose logits are made from it, can then tell these words apart. The same file and vocabulary
    give the same table.

    Source of the rule for missing words: Kim 2014, arXiv 1408.5882, section 4.3, which uses the variance alone.

    Args:
        path: the file to read.
        vocabulary: `Vocabulary`, or a tokenizer that `Vocabulary.of` takes.

    Returns:
        float32 array of shape (`len(vocabulary)`, size), for `awd_keras.models.AWDLSTM(embeddings=)`, and the list of
        the words that the file lacks, in the order of their ids.

    Raises:
        OSError: if the file can't be read.
        ValueError: if a line has another size than the first one or isn't UTF-8, the vector of a word isn't of finite
            numbers, or the file has none of the vocabulary's words.

    Example:

    >>> import os, tempfile
    >>> from awd_keras.data import Vocabulary, read_vectors
    >>> path = os.path.join(tempfile.mkdtemp(), "vectors.txt")
    >>> with open(path, "w", encoding="utf-8") as file:
    ...     _ = file.write("the 0.5 -1.0 2.0\\ncat 0.25 0.0 1.0\\n")
    >>> table, missing = read_vectors(path, Vocabulary(["<unk>", "cat", "the"]))
    >>> table.shape, table[1].tolist(), missing
    ((3, 3), [0.25, 0.0, 1.0], ['<unk>'])
    """
    vocabulary = Vocabulary.of(vocabulary)
    name, rows, size = os.fspath(path), {}, None
    with open(path, "rb") as file:
        for number, line in _lines(file):
            word, _, numbers = line.partition(b" ")
            count = numbers.count(b" ") + 1 if numbers else 0
            if size is None:
                if count == 1 and word.isdigit() and numbers.isdigit():
                    size = int(numbers)
                    continue
                size = count
            if count != size or not size:
                if count > size > 0 and _is_of_several_words(line, size):
                    continue
                raise _wrong(name, number, f"a word and {size or 'some'} numbers", f"{count} after the word")
            try:
                word = word.decode("utf-8")
            except UnicodeDecodeError as error:
                raise _wrong(name, number, "a word in UTF-8", f"{word!r}, {error.reason}") from None
            if word in vocabulary and word not in rows:
                rows[word] = _vector(numbers, name, number)
    if not rows:
        raise ValueError(
            f"Argument `path` must be a file that has words of the vocabulary. Received: {name!r}, which has none"
        )
    known = np.stack(list(rows.values()))
    missing = [word for word in vocabulary if word not in rows]
    table = np.empty((len(vocabulary), known.shape[1]), "float32")
    table[vocabulary.encode(rows)] = known
    draws = np.random.default_rng(0).normal(size=(len(missing), known.shape[1]))
    table[[vocabulary[word] for word in missing]] = (
        known.mean(axis=0, dtype="float64") + known.std(axis=0, dtype="float64") * draws
    )
    return table, missing


def _lines(file):
    """The lines that aren't empty, with their numbers from 1, without a byte-order mark or whitespace at the ends."""
    for number, line in enumerate(file, 1):
        line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        line = line.rstrip(b" \r\n")
        if line:
            yield number, line


def _is_of_several_words(line, size):
    """Whether several words come before the numbers, as in `New York 0.1 0.2`, and not one word and more numbers."""
    _, *others = line.split(b" ")[:-size]
    return any(_number(part) is None for part in others)


def _vector(numbers, name, line):
    values, most = [_number(part) for part in numbers.split(b" ")], float(np.finfo("float32").max)
    for part, value in zip(numbers.split(b" "), values, strict=True):
        if value is None or not abs(value) <= most:
            raise _wrong(name, line, "finite numbers", repr(part.decode("utf-8", "replace")))
    return np.array(values, "float32")


def _number(part):
    try:
        return float(part)
    except ValueError:
        return None


def _wrong(name, line, expected, found):
    return ValueError(
        f"Argument `path` must be a file of word vectors. Line {line} of {name!r} must have {expected}. "
        f"Received: {found}"
    )

"""Files of word vectors: the table, missing words, and errors for wrong files."""

import numpy as np
import pytest

from awd_keras.data import Vocabulary, read_vectors

pytestmark = pytest.mark.once

VOCABULARY = Vocabulary(["<unk>", "cat", "naïve", "<eos>", "the", "dog"])
LINES = ["the 1 -2.5 3e-1", "elsewhere 9 9 9", "naïve 0.5 0.25 4", "cat 2 2 2"]


@pytest.fixture
def read(tmp_path):
    def read(lines, vocabulary=VOCABULARY, end="\n"):
        text = end.join(lines) if isinstance(lines[0], str) else None
        path = tmp_path / "vectors.txt"
        path.write_bytes(b"\n".join(lines) if text is None else (text + end).encode("utf-8"))
        return read_vectors(path, vocabulary)

    return read


def test_each_word_has_its_row(read):
    table, missing = read(LINES)
    assert table.dtype == np.float32
    assert table.shape == (6, 3)
    np.testing.assert_allclose(table[[4, 2, 1]], [[1, -2.5, 0.3], [0.5, 0.25, 4], [2, 2, 2]], rtol=1e-6)
    assert missing == ["<unk>", "<eos>", "dog"]
    assert read(["the 1 2"], Vocabulary(["the"]))[1] == []


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n", "\n\n"])
@pytest.mark.parametrize("before", [[], ["4 3"], ["\ufeff4 3"]])
def test_what_else_is_in_files(read, before, end):
    """The first line of word2vec and fastText, a byte-order mark, ends of lines, a word twice, and words with spaces.

    A no-break space, at which `str.split` would cut, is a part of a word.
    """
    others = [
        "cat 7 7 7",
        ". . . 1 2 3",
        "at name@example.org 1 2 3",
        "the\u00a0cat 1 2 3",
        "the\u0085 1 2 3",
        "1 2 3 4",
    ]
    table, missing = read([*before, *LINES, *others], end=end)
    expected, same = read(LINES)
    np.testing.assert_array_equal(table, expected)
    assert missing == same


def test_missing_words_are_as_the_others_and_no_two_alike(read):
    rng = np.random.default_rng(0)
    known = rng.normal([3.0, -1.0], [0.1, 2.0], size=(2000, 2))
    words = Vocabulary(f"w{number}" for number in range(4000))
    table, missing = read([f"w{number} {a} {b}" for number, (a, b) in enumerate(known)], words)
    assert missing == list(words.words[2000:])
    np.testing.assert_allclose(table[2000:].mean(axis=0), known.mean(axis=0), atol=0.2)
    np.testing.assert_allclose(table[2000:].std(axis=0), known.std(axis=0), rtol=0.1)
    assert len(np.unique(table, axis=0)) == 4000
    np.testing.assert_array_equal(table, read([f"w{number} {a} {b}" for number, (a, b) in enumerate(known)], words)[0])


def test_a_tokenizer_s_words(read):
    class Letters:
        words = ("b", "a")

        def encode(self, text):
            return [self.words.index(letter) for letter in text if letter in self.words]

        def decode(self, ids):
            return "".join(self.words[i] for i in ids)

    assert read(["a 1 2", "b 3 4"], Letters())[0].tolist() == [[3, 4], [1, 2]]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([*LINES, "dog 1 2"], "Line 5 of .*vectors.txt' must have a word and 3 numbers. Received: 2 after the word"),
        ([*LINES, "other 1 2 3 4"], "Line 5 of .* must have a word and 3 numbers. Received: 4 after the word"),
        (["4 2", *LINES], "Line 2 of .* must have a word and 2 numbers. Received: 3 after the word"),
        ([*LINES, "dog"], "Line 5 of .* must have a word and 3 numbers. Received: 0 after the word"),
        (["the", *LINES], "Line 1 of .* must have a word and some numbers. Received: 0 after the word"),
        (["", *LINES[:2], "dog 1 x 3"], "Line 4 of .* must have finite numbers. Received: 'x'"),
        (["dog 1 nan 3"], "Line 1 of .* must have finite numbers. Received: 'nan'"),
        (["dog 1 1e39 3"], "Line 1 of .* must have finite numbers. Received: '1e39'"),
        ([b"the 1 2", b"\xff 1 2"], r"Line 2 of .* must have a word in UTF-8. Received: b'\\xff', invalid start byte"),
        (
            LINES[1:2],
            "`path` must be a file that has words of the vocabulary. .*vectors.txt', which has none",
        ),
        ([""], "`path` must be a file that has words of the vocabulary. .*vectors.txt', which has none"),
    ],
)
def test_wrong_files(read, lines, message):
    with pytest.raises(ValueError, match=message):
        read(lines)


def test_wrong_arguments(tmp_path):
    with pytest.raises(ValueError, match="`vocabulary` must be a `Vocabulary`"):
        read_vectors(tmp_path / "vectors.txt", ["the"])
    with pytest.raises(FileNotFoundError):
        read_vectors(tmp_path / "vectors.txt", VOCABULARY)

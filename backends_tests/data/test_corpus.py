import sys

import numpy as np
import pytest

from awd_keras.data import EOS, UNK, Corpus, Vocabulary, encode_file, units

pytestmark = pytest.mark.once

TEXTS = {"train": "the cat sat\n\nthe dog\n", "valid": "the bird\n", "test": "the cat\n"}


@pytest.fixture
def directory(tmp_path):
    for split, text in TEXTS.items():
        (tmp_path / f"{split}.txt").write_bytes(text.encode())
    return tmp_path


def decoded(corpus, split):
    return " ".join(corpus.vocabulary.decode(getattr(corpus, split)))


def test_lines_end_in_eos_blank_ones_too(directory):
    corpus = Corpus.from_directory(str(directory))
    assert decoded(corpus, "train") == "the cat sat <eos> <eos> the dog <eos>"
    assert decoded(corpus, "valid") == "the bird <eos>"
    assert decoded(corpus, "test") == "the cat <eos>"
    for split in TEXTS:
        ids = getattr(corpus, split)
        assert ids.dtype == np.int32
        assert ids.ndim == 1


@pytest.mark.parametrize("piece", [1, 2, 3, 2**20])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb\n", "a <eos> b <eos>"),
        ("a\r\nb\r\n", "a <eos> b <eos>"),
        ("a\rb\r", "a <eos> b <eos>"),
        ("a\rb\r\nc\nd\n\re\r\r\n", "a <eos> b <eos> c <eos> d <eos> <eos> e <eos> <eos>"),
        ("a\nb", "a <eos> b <eos>"),
        ("a\rb", "a <eos> b <eos>"),
        ("a \r", "a <eos>"),
        ("\n", "<eos>"),
        ("\r", "<eos>"),
        ("\ufeffa b\n", "a b <eos>"),
        ("\ufeff\r\n", "<eos>"),
        # Within a text, a byte-order mark is an ordinary character.
        ("a \ufeffb\n", "a \ufeffb <eos>"),
        (" a\t b  \n \n", "a b <eos> <eos>"),
        # `str.splitlines()` would split at these characters.
        ("a\x0bb\x0cc\x1cd\x85e\u2028f\n", "a b c d e f <eos>"),
    ],
)
def test_what_ends_a_line(directory, monkeypatch, text, expected, piece):
    monkeypatch.setattr(units, "_BLOCK", piece)
    (directory / "valid.txt").write_bytes(text.encode())
    assert decoded(Corpus.from_directory(directory), "valid") == expected


def test_vocabulary_covers_the_three_splits(directory):
    assert Corpus.from_directory(directory).vocabulary.words == (
        EOS, "the", "cat", "sat", "dog", "bird",
    )  # fmt: skip


def test_min_count_counts_over_the_three_splits(directory):
    corpus = Corpus.from_directory(directory, min_count=2)
    # "cat" is once in train and once in test.
    assert corpus.vocabulary.words == (EOS, "the", UNK, "cat")
    assert decoded(corpus, "valid") == "the <unk> <eos>"


def test_given_vocabulary(directory):
    vocabulary = Vocabulary(["cat", UNK, EOS])
    corpus = Corpus.from_directory(directory, vocabulary=vocabulary)
    assert corpus.vocabulary is vocabulary
    assert corpus.test.tolist() == [1, 0, 2]


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    ("words", "text", "place"),
    [
        (["the", "cat", EOS], "the cat\r\rthe bat\rthe rat\n", r"'bat' in .*valid.txt, line 3"),
        (["the", "cat", EOS], "\ufeffbat the\n", r"'bat' in .*valid.txt, line 1"),
        (["the", "cat"], "the cat", r"'<eos>' in .*train.txt, line 1"),
    ],
)
def test_an_unknown_word_is_an_error_with_its_place(directory, words, text, place, cached):
    (directory / "train.txt").write_text("the cat" + "\n" * (EOS in words), encoding="utf-8")
    (directory / "test.txt").write_text("the cat\n", encoding="utf-8")
    (directory / "valid.txt").write_bytes(text.encode())
    cache = directory / "cache" if cached else None
    with pytest.raises(ValueError, match=rf"Received: {place}\. .*`min_count=2`.*--min-count 2"):
        Corpus.from_directory(directory, vocabulary=Vocabulary(words), cache=cache, verbose=0)


def test_one_file(directory):
    vocabulary = Vocabulary(["the", UNK, EOS])
    ids = encode_file(str(directory / "train.txt"), vocabulary)
    np.testing.assert_array_equal(ids, Corpus.from_directory(directory, vocabulary=vocabulary).train)
    assert ids.dtype == np.int32
    with pytest.raises(ValueError, match=r"'cat' in .*train.txt, line 1"):
        encode_file(directory / "train.txt", Vocabulary(["the", EOS]))
    with pytest.raises(FileNotFoundError, match=r"none.txt"):
        encode_file(directory / "none.txt", vocabulary)
    (directory / "empty.txt").write_bytes("\ufeff".encode())
    with pytest.raises(ValueError, match=r"empty.txt is empty"):
        encode_file(directory / "empty.txt", vocabulary)


@pytest.mark.parametrize("piece", [2, 2**20])
def test_counts(directory, monkeypatch, piece):
    monkeypatch.setattr("awd_keras.data.word_ids._PIECE", piece)
    corpus = Corpus.from_directory(directory)
    assert corpus.unknown_tokens == {"train": 0, "valid": 0, "test": 0}
    # "sat", "dog" and "bird"
    assert corpus.words_seen_once == 3
    corpus = Corpus.from_directory(directory, vocabulary=Vocabulary(["the", UNK, EOS, "no word of it"]))
    assert corpus.unknown_tokens == {"train": 3, "valid": 1, "test": 1}
    assert corpus.words_seen_once == 0


def test_missing_directory(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`path` must be a directory.*nowhere"):
        Corpus.from_directory(tmp_path / "nowhere")


@pytest.mark.parametrize("split", list(TEXTS))
def test_missing_file(directory, split):
    (directory / f"{split}.txt").unlink()
    with pytest.raises(FileNotFoundError, match=rf"{split}.txt is missing"):
        Corpus.from_directory(directory)


@pytest.mark.parametrize("split", list(TEXTS))
def test_empty_file(directory, split):
    (directory / f"{split}.txt").write_bytes(b"")
    with pytest.raises(ValueError, match=rf"{split}.txt is empty"):
        Corpus.from_directory(directory)


@pytest.mark.parametrize("piece", [2, 2**20])
@pytest.mark.parametrize(("mark", "place"), [(b"", 5), (b"\xef\xbb\xbf", 8)])
def test_not_utf8(directory, monkeypatch, piece, mark, place):
    monkeypatch.setattr(units, "_BLOCK", piece)
    (directory / "valid.txt").write_bytes(mark + "so naïve".encode("latin-1"))
    with pytest.raises(ValueError, match=rf"valid.txt isn't UTF-8: .* at byte {place}"):
        Corpus.from_directory(directory)


def test_repr(directory):
    assert repr(Corpus.from_directory(directory)) == ("Corpus(train=8, valid=3, test=3 tokens, 6 words)")


def test_python_docs():
    corpus = Corpus.python_docs()
    sizes = np.array([len(getattr(corpus, split)) for split in TEXTS])
    np.testing.assert_allclose(sizes / sizes.sum(), [0.8, 0.1, 0.1], atol=0.03)
    assert sizes.sum() > 50_000
    counts = np.bincount(np.concatenate([corpus.train, corpus.valid, corpus.test]))
    assert counts.min() >= 3
    assert (np.diff(counts) <= 0).all()
    again = Corpus.python_docs(min_count=2)
    assert len(again.vocabulary) > len(corpus.vocabulary)
    assert [len(getattr(again, split)) for split in TEXTS] == sizes.tolist()


def test_python_docs_held_out_text_is_not_in_training():
    corpus = Corpus.python_docs(min_count=1)
    texts = [decoded(corpus, split).split(" <eos> <eos> ") for split in TEXTS]
    # Only longer paragraphs, as those at the edges of topics are joined.
    train, valid, test = ({p for p in text if len(p.split()) > 20} for text in texts)
    assert len(valid) > 20
    assert len(test) > 20
    assert not train & valid
    assert not train & test
    assert not valid & test


def test_python_docs_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(ImportError, match=r"pydoc_data.topics.*from_directory"):
        Corpus.python_docs()

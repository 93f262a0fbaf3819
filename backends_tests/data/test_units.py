"""Texts of characters and of bytes are cut and joined unchanged, in vocabularies, files and caches."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awd_keras.data import UNK, Corpus, TextDataset, Vocabulary, encode_file, units
from awd_keras.data.units import label

pytestmark = pytest.mark.once

TEXTS = {"train": "Ein Käse,\r\nzwei  Käse\n", "valid": "zwei", "test": "\n\tKn\n"}
UNITS = ("character", "byte")
# A vocabulary with all 256 bytes.
ALL_BYTES = Vocabulary(units.Bytes.names, unit="byte")


@pytest.fixture
def directory(tmp_path):
    for split, text in TEXTS.items():
        (tmp_path / f"{split}.txt").write_bytes(text.encode())
    return tmp_path


def vocabulary_of(text, unit):
    """The vocabulary of this text and one more character, as it must have at least one word."""
    return ALL_BYTES if unit == "byte" else Vocabulary.from_words(text + "a", unit=unit)


def written(vocabulary, words):
    """The pieces that a writer returns, word by word."""
    writer = vocabulary.cut_by.writer()
    return [*map(writer.add, words), writer.end()]


@pytest.mark.parametrize("unit", UNITS)
@given(text=st.text())
def test_there_and_back(unit, text):
    vocabulary = vocabulary_of(text, unit)
    ids = vocabulary.encode(vocabulary.cut(text))
    assert len(ids) == len(text if unit == "character" else text.encode())
    assert vocabulary.join(vocabulary.decode(ids)) == text
    assert "".join(written(vocabulary, vocabulary.decode(ids))) == text


@given(content=st.binary(min_size=1), size=st.integers(1, 9))
def test_any_file_is_bytes(tmp_path_factory, content, size):
    path = tmp_path_factory.mktemp("texts") / "text.txt"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(units, "_BLOCK", size)
        ids = encode_file(path, ALL_BYTES)
    assert bytes(ids.tolist()) == content
    assert ALL_BYTES.join(ALL_BYTES.decode(ids)) == content.decode("utf-8", "replace")


@given(text=st.text(min_size=1), size=st.integers(1, 9))
def test_any_text_is_characters(tmp_path_factory, text, size):
    path = tmp_path_factory.mktemp("texts") / "text.txt"
    path.write_bytes("\ufeff".encode() + text.encode())  # the mark doesn't belong to the text
    vocabulary = vocabulary_of(text, "character")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(units, "_BLOCK", size)
        assert vocabulary.join(vocabulary.decode(encode_file(path, vocabulary))) == text


def test_bytes_have_names():
    assert ALL_BYTES.cut("aé\n") == ["a", "<0xC3>", "<0xA9>", "\n"]
    assert len(set(ALL_BYTES)) == 256
    # The bytes of a character come in one piece, and bytes that aren't a character aren't lost.
    assert written(ALL_BYTES, ALL_BYTES.cut("é")) == ["", "é", ""]
    assert written(ALL_BYTES, ["<0xC3>", "a", "<0xC3>"]) == ["", "\ufffda", "", "\ufffd"]
    assert ALL_BYTES.join(["<0xC3>", UNK]) == f"\ufffd{UNK}"


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("cached", [False, True])
def test_a_corpus(directory, unit, cached):
    cache = directory / "cache" if cached else None
    corpus = Corpus.from_directory(directory, unit=unit, cache=cache, verbose=0)
    assert corpus.vocabulary.unit == unit
    for split, text in TEXTS.items():
        assert corpus.vocabulary.join(corpus.vocabulary.decode(getattr(corpus, split))) == text
    assert len(corpus.train) == len(TEXTS["train"] if unit == "character" else TEXTS["train"].encode())
    assert corpus.source["unit"] == unit
    assert repr(corpus).endswith(f"{len(corpus.vocabulary)} {unit}s)")
    # The most frequent words come first, as an adaptive softmax needs.
    counts = np.bincount(np.concatenate([corpus.train, corpus.valid, corpus.test]))
    assert (np.diff(counts) <= 0).all()


def test_units_have_caches_of_their_own(directory):
    cache = directory / "cache"
    for unit in (*UNITS, "word"):
        for _ in range(2):
            corpus = Corpus.from_directory(directory, unit=unit, cache=cache, verbose=0)
            assert corpus.vocabulary.unit == unit
            assert corpus.digest == Corpus.from_directory(directory, unit=unit).digest
    assert len(list(cache.iterdir())) == 3


def test_a_given_vocabulary_says_what_the_unit_is(directory):
    vocabulary = Vocabulary.from_words("".join(TEXTS.values()), unit="character")
    corpus = Corpus.from_directory(directory, vocabulary=vocabulary)
    assert corpus.vocabulary is vocabulary
    assert len(corpus.valid) == 4
    np.testing.assert_array_equal(encode_file(directory / "valid.txt", vocabulary), corpus.valid)


def test_python_docs():
    docs = Corpus.python_docs(unit="character")
    assert len(docs.vocabulary) < 150
    assert len(docs.train) > 200_000
    assert docs.source == {"directory": None, "unit": "character", "min_count": 3}
    assert "\n" in docs.vocabulary


def test_an_unknown_character_is_an_error_with_its_place(directory):
    vocabulary = Vocabulary(sorted(set("".join(TEXTS.values())) - {"\t"}), unit="character")
    with pytest.raises(ValueError, match=r"Received: '\\t' in .*test.txt, line 2\. .*`min_count=2`"):
        Corpus.from_directory(directory, vocabulary=vocabulary)
    known = Vocabulary([*vocabulary, UNK], unit="character")
    assert Corpus.from_directory(directory, vocabulary=known).unknown_tokens == {"train": 0, "valid": 0, "test": 1}


@pytest.mark.parametrize("block", [1, 2, 2**21])
@pytest.mark.parametrize(("content", "place"), [(b"na\xefve", 2), (b"\xef\xbb\xbfna\xefve", 5), (b"naiv\xc3", 4)])
def test_a_text_that_is_not_utf8(directory, monkeypatch, content, place, block):
    """The error names the unit that can read it."""
    monkeypatch.setattr(units, "_BLOCK", block)
    (directory / "valid.txt").write_bytes(content)
    with pytest.raises(ValueError, match=rf'valid.txt isn\'t UTF-8: .* at byte {place}\. .*`unit="byte"`.*--unit byte'):
        Corpus.from_directory(directory, unit="character")
    corpus = Corpus.from_directory(directory, unit="byte")
    assert len(corpus.valid) == len(content)


@pytest.mark.parametrize("unit", UNITS)
def test_an_empty_file(directory, unit):
    (directory / "valid.txt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"valid.txt is empty"):
        Corpus.from_directory(directory, unit=unit)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Vocabulary(["a"], unit="line"),
        lambda: Vocabulary.from_words(["a"], unit="line"),
        lambda: Corpus.from_directory("here", unit="line"),
        lambda: Corpus.python_docs(unit="line"),
    ],
    ids=["vocabulary", "from_words", "from_directory", "python_docs"],
)
def test_an_unknown_unit(make):
    with pytest.raises(ValueError, match="`unit` must be one of 'word', 'character', 'byte'. Received: unit='line'"):
        make()


@pytest.mark.parametrize("unit", ["word", *UNITS])
def test_a_vocabulary_s_file(tmp_path, unit):
    path = tmp_path / "vocabulary.json"
    vocabulary = Vocabulary(["a", "\n", UNK], unit=unit)
    vocabulary.save(path)
    loaded = Vocabulary.load(path)
    assert (loaded, loaded.unit) == (vocabulary, unit)
    assert json.loads(path.read_text()) == {"words": ["a", "\n", UNK], "unit": unit}
    # A file from before there were other units.
    path.write_text('{"words": ["a"]}')
    assert Vocabulary.load(path).unit == "word"
    for bad in ("line", 3, None, ["word"]):
        path.write_text(json.dumps({"words": ["a"], "unit": bad}))
        with pytest.raises(ValueError, match=r"vocabulary.json' doesn't hold a vocabulary: Argument `unit` must be"):
            Vocabulary.load(path)


def test_vocabularies_of_other_units_are_others():
    words = ["a", "b"]
    assert Vocabulary(words, unit="character") != Vocabulary(words, unit="byte") != Vocabulary(words)
    assert repr(Vocabulary(words, unit="byte")) == "Vocabulary(2 bytes)"


def test_words_join_with_spaces():
    vocabulary = Vocabulary(["<eos>", "the", "cat"])
    assert vocabulary.join(["the", "cat", "<eos>", "<eos>", "the", "cat"]) == "the cat\n\nthe cat"
    assert vocabulary.cut("the cat\nthe") == ["the", "cat", "<eos>", "the"]
    assert vocabulary.cut_by.before_text() == ["<eos>"]
    assert ALL_BYTES.cut_by.before_text() == ["\n"]


def test_labels():
    """Words that can't be seen are shown in quotes."""
    shown = [label(word) for word in ("a", "é", " ", "\n", "\u200b", "<0xC3>", "the cat")]
    assert shown == ["a", "é", "' '", r"'\n'", r"'\u200b'", "<0xC3>", "the cat"]


def test_texts_with_labels():
    vocabulary = Vocabulary.from_words("abc ", unit="character")
    dataset = TextDataset(["a b", "c"], [0, 1], vocabulary, 2, length_multiple=1)
    ids, _ = dataset[0]
    assert sorted(ids.tolist()) == sorted([[vocabulary[c] for c in "a b"], [vocabulary["c"], -1, -1]])

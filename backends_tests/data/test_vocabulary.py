import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awd_keras.data import EOS, UNK, Vocabulary

pytestmark = pytest.mark.once

WORDS = st.lists(st.text(min_size=1), min_size=1, max_size=20)


def test_ids_are_places_in_the_list():
    vocabulary = Vocabulary(["b", "a", "c"])
    assert len(vocabulary) == 3
    assert vocabulary.words == tuple(vocabulary) == ("b", "a", "c")
    assert [vocabulary[word] for word in "bac"] == [0, 1, 2]
    assert "a" in vocabulary
    assert "d" not in vocabulary
    with pytest.raises(KeyError):
        vocabulary["d"]


def test_is_immutable_and_compares_by_words():
    words = ["b", "a"]
    vocabulary = Vocabulary(words)
    words.append("c")
    assert vocabulary.words == ("b", "a")
    with pytest.raises(AttributeError):
        vocabulary.words = ("c",)
    assert vocabulary == Vocabulary("ba"[i] for i in range(2))
    assert hash(vocabulary) == hash(Vocabulary(["b", "a"]))
    assert vocabulary != Vocabulary(["a", "b"])


def test_from_words_sorts_by_frequency_then_first_appearance():
    assert Vocabulary.from_words("dcbacbdaeb"[i] for i in range(10)).words == tuple("bdcae")


def test_from_words_counts_rare_words_as_unknown():
    words = f"x a a b b y z {EOS}".split()
    vocabulary = Vocabulary.from_words(words, min_count=2)
    # Three rare words make <unk> the most frequent; <eos> is never rare.
    assert vocabulary.words == (UNK, "a", "b", EOS)
    assert vocabulary.decode(vocabulary.encode(words)) == [UNK, "a", "a", "b", "b", UNK, UNK, EOS]


def test_count_unknown():
    assert Vocabulary(["a", UNK, "b"]).count_unknown(np.array([1, 0, 1, 2])) == 2
    assert Vocabulary(["a", "b"]).count_unknown(np.array([1, 0])) == 0


def test_from_words_keeps_the_unknowns_of_the_text():
    assert Vocabulary.from_words([UNK, "a", "a"], min_count=2).words == ("a", UNK)
    assert UNK not in Vocabulary.from_words(["a", "a"], min_count=2)


@given(WORDS)
def test_encode_decode_round_trip(words):
    vocabulary = Vocabulary.from_words(words)
    ids = vocabulary.encode(words)
    assert ids.dtype == np.int32
    assert ids.shape == (len(words),)
    assert vocabulary.decode(ids) == words


def test_encode_of_nothing():
    assert Vocabulary(["a"]).encode([]).tolist() == []
    assert Vocabulary([UNK]).encode([]).dtype == np.int32


def test_encode_unknown_words():
    assert Vocabulary(["a", UNK]).encode(["a", "b"]).tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"`words` .*'<unk>'.* Received: 'b'"):
        Vocabulary(["a"]).encode(["a", "b"])


@pytest.mark.parametrize("bad", [-1, 2])
def test_decode_checks_ids(bad):
    with pytest.raises(ValueError, match=rf"`ids` .*\[0, 2\). Received: {bad} "):
        Vocabulary(["a", "b"]).decode(np.array([0, bad]))


@given(words=st.lists(st.text(), min_size=1, unique=True))
def test_save_load_round_trip(tmp_path_factory, words):
    path = tmp_path_factory.mktemp("vocabulary") / "vocabulary.json"
    Vocabulary(words).save(path)
    assert Vocabulary.load(path) == Vocabulary(words)
    assert json.loads(path.read_text(encoding="utf-8")) == {"words": words, "unit": "word"}
    assert os.listdir(path.parent) == [path.name]


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "vocabulary.json"
    Vocabulary(["a"]).save(path)

    def fail(*arguments, **keywords):
        raise OSError("disk full")

    # The file isn't changed before the new one is complete.
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        Vocabulary(["b"]).save(str(path))
    assert Vocabulary.load(str(path)).words == ("a",)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize(
    "content",
    [b"", b"[1", b"[]", b"{}", b'{"words": 1}', b'{"words": []}', b'{"words": [1]}',
     b'{"words": ["a", "a"]}', b'{"words": ["\xff"]}', b'{"words": [["a"]]}'],
)  # fmt: skip
def test_load_checks_the_file(tmp_path, content):
    path = tmp_path / "vocabulary.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"vocabulary.json' doesn't hold a vocabulary: ") as error:
        Vocabulary.load(path)
    assert "\n" not in str(error.value)


def test_load_of_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        Vocabulary.load(tmp_path / "vocabulary.json")


def test_arguments_are_checked():
    with pytest.raises(ValueError, match=r"`words` must hold each word once. Received: 'a' twice"):
        Vocabulary(["a", "b", "a"])
    with pytest.raises(ValueError, match="`words` must hold at least one"):
        Vocabulary([])
    with pytest.raises(ValueError, match=r"`words` must hold strings. Received: 1"):
        Vocabulary([1])
    for take in (Vocabulary, Vocabulary.from_words, Vocabulary(["a"]).encode):
        with pytest.raises(ValueError, match=r"`words` must be an iterable.* Received: words='a b'"):
            take("a b")
    for bad in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="`min_count` must be a positive integer"):
            Vocabulary.from_words(["a"], min_count=bad)

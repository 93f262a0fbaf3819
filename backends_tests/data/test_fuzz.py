"""Any bytes give a corpus and a vocabulary, or an error of one line that names the file."""

import io
import json

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from awd_keras.data import EOS, UNK, Corpus, Vocabulary, units

pytestmark = pytest.mark.once

SPLITS = ("train", "valid", "test")
# Few letters, so that words occur again, and all characters that end a line or a word here or in other programs.
WORDY = st.text(st.sampled_from("ab<>é\n\r\t \x00\x0b\x0c\x1c\x85\u2028\u3000\ufeff\U0001f600"), max_size=40)
TEXT = st.one_of(WORDY, st.text(min_size=1), st.sampled_from([f"a {EOS} {UNK}\n", "\n"])).map(str.encode)
FILES = st.tuples(TEXT, TEXT, TEXT) | st.tuples(TEXT, st.binary(), TEXT)
LISTS = st.fixed_dictionaries({"words": st.lists(st.text(max_size=3), max_size=4)})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["words", "a"]), inner, max_size=2),
    max_leaves=8,
)
VOCABULARIES = st.binary() | (LISTS | JSON).map(lambda value: json.dumps(value).encode())


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def words(content):
    """The words as Python reads lines: with universal newlines, and without a byte-order mark."""
    lines = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline=None)
    return [word for line in lines for word in [*line.split(), EOS]]


@given(contents=FILES, min_count=st.integers(1, 3), piece=st.integers(1, 9))
def test_any_bytes_make_a_corpus_or_a_clear_error(directory, contents, min_count, piece):
    with pytest.MonkeyPatch.context() as patch:
        # For every size of the pieces in which a text is read.
        patch.setattr(units, "_BLOCK", piece)
        check(directory, contents, min_count)


def check(directory, contents, min_count):
    for split, content in zip(SPLITS, contents, strict=True):
        (directory / f"{split}.txt").write_bytes(content)
    try:
        readable = all(content.decode("utf-8-sig") for content in contents)
    except UnicodeDecodeError:
        readable = False
    event("a corpus" if readable else "an error")
    if not readable:
        with pytest.raises(ValueError, match=r"(train|valid|test)\.txt (is empty|isn't UTF-8)[^\n]*$"):
            Corpus.from_directory(directory, min_count)
        return
    corpus = Corpus.from_directory(directory, min_count)
    vocabulary = corpus.vocabulary
    everything = [word for content in contents for word in words(content)]
    kept = {word for word in everything if everything.count(word) >= min_count or word in (EOS, UNK)}
    assert set(vocabulary) == kept | ({UNK} if set(everything) - kept else set())
    for split, content in zip(SPLITS, contents, strict=True):
        ids = getattr(corpus, split)
        assert ids.dtype == np.int32
        assert vocabulary.decode(ids) == [word if word in kept else UNK for word in words(content)]
        np.testing.assert_array_equal(vocabulary.encode(vocabulary.decode(ids)), ids)
    # A vocabulary that was saved and loaded gives the same ids.
    vocabulary.save(directory / "vocabulary.json")
    again = Corpus.from_directory(directory, vocabulary=Vocabulary.load(directory / "vocabulary.json"))
    assert again.digest == corpus.digest


@given(content=VOCABULARIES)
def test_any_bytes_make_a_vocabulary_or_a_clear_error(directory, content):
    path = directory / "any.json"
    path.write_bytes(content)
    try:
        vocabulary = Vocabulary.load(path)
    except ValueError as raised:
        vocabulary, message = None, str(raised)
    if vocabulary is None:
        event("an error")
        assert message.startswith(f"'{path}' doesn't hold a vocabulary: ")
        assert "\n" not in message
    else:
        event("a vocabulary")
        assert json.loads(content)["words"] == list(vocabulary)


@given(st.lists(st.text(), min_size=1, max_size=20, unique=True), st.data())
def test_ids_and_words_round_trip(unique, data):
    vocabulary = Vocabulary(unique)
    ids = data.draw(st.lists(st.integers(0, len(unique) - 1)))
    np.testing.assert_array_equal(vocabulary.encode(vocabulary.decode(ids)), ids)
    said = data.draw(st.lists(st.sampled_from(unique)))
    assert vocabulary.decode(vocabulary.encode(said)) == said

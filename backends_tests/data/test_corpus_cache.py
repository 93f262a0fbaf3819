import resource
import tracemalloc

import numpy as np
import pytest

from awd_keras.data import UNK, BPTTDataset, Corpus, Vocabulary, units, word_ids

pytestmark = pytest.mark.once

SPLITS = ("train", "valid", "test")
TEXTS = {"train": "the cat sat\n\nthe dog\n", "valid": "the bird\n", "test": "the cat\n"}


@pytest.fixture
def directory(tmp_path):
    texts = tmp_path / "texts"
    texts.mkdir()
    for split, text in TEXTS.items():
        (texts / f"{split}.txt").write_bytes(text.encode())
    return texts


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "caches" / "cache"


@pytest.fixture
def reads(monkeypatch):
    """A list of the texts that are read from now on."""
    names = []

    class Watched(word_ids.FirstIds):
        def read(self, file, name):
            names.append(name)
            return super().read(file, name)

    monkeypatch.setattr(word_ids, "FirstIds", Watched)
    return names


def assert_same(corpus, expected):
    assert corpus.vocabulary == expected.vocabulary
    for split in SPLITS:
        ids = getattr(corpus, split)
        assert ids.dtype == np.int32
        np.testing.assert_array_equal(ids, getattr(expected, split))
    assert corpus.digest == expected.digest


@pytest.mark.parametrize("piece", [1, 3, 2**20])
def test_the_same_corpus_as_in_memory(directory, cache, monkeypatch, piece):
    expected = Corpus.from_directory(directory, min_count=2)
    monkeypatch.setattr(word_ids, "_PIECE", piece)
    monkeypatch.setattr(units, "_BLOCK", piece)
    corpus = Corpus.from_directory(directory, min_count=2, cache=cache)
    assert_same(corpus, expected)
    assert corpus.source == {**expected.source, "cache": str(cache)}
    assert_same(Corpus.from_directory(directory, min_count=2, cache=cache), expected)
    # No temporary files are left.
    (folder,) = cache.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["0.ids", "1.ids", "2.ids", "vocabulary.json"]


def test_ids_stay_in_the_file(directory, cache):
    corpus = Corpus.from_directory(directory, cache=cache)
    (folder,) = cache.iterdir()
    assert (folder / "0.ids").read_bytes() == corpus.train.astype("<i4").tobytes()
    with pytest.raises(ValueError, match="read-only"):
        corpus.train[0] = 1
    # A dataset doesn't copy the ids.
    assert np.shares_memory(BPTTDataset(corpus.train, batch_size=2, bptt=2).tokens, corpus.train)


def test_a_text_is_read_once(directory, cache, reads):
    for _ in range(2):
        Corpus.from_directory(directory, cache=cache)
        assert [name.rpartition("/")[2] for name in reads] == ["train.txt", "valid.txt", "test.txt"]
    # Other texts have their own files, even if they have the same length.
    (directory / "train.txt").write_text(TEXTS["train"].replace("cat", "cow"))
    assert "cow" in Corpus.from_directory(directory, cache=cache).vocabulary
    assert UNK in Corpus.from_directory(directory, min_count=2, cache=cache).vocabulary
    vocabulary = Vocabulary(["the", UNK])
    given = Corpus.from_directory(directory, vocabulary=vocabulary, cache=cache)
    assert given.vocabulary == vocabulary
    assert given.test.tolist() == [0, 1, 1]
    assert len(reads) == 4 * 3
    (directory / "train.txt").write_text(TEXTS["train"])
    assert "cow" not in Corpus.from_directory(directory, cache=cache).vocabulary
    assert len(reads) == 4 * 3


def test_ids_that_were_read_in_another_way_are_not_used(directory, cache, reads, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(word_ids, "_READING", 1)
        Corpus.from_directory(directory, cache=cache)
    Corpus.from_directory(directory, cache=cache)
    assert len(reads) == 2 * 3


def test_unknown_words_leave_no_files(directory, cache):
    with pytest.raises(ValueError, match="Received: 'the'"):
        Corpus.from_directory(directory, vocabulary=Vocabulary(["cat"]), cache=cache)
    assert list(cache.iterdir()) == []


def test_what_a_killed_process_of_the_same_id_has_left(directory, cache, monkeypatch):
    monkeypatch.setattr(word_ids.shutil, "rmtree", lambda *args, **kwargs: None)  # as if it were killed
    with pytest.raises(ValueError, match="Received: 'the'"):
        Corpus.from_directory(directory, vocabulary=Vocabulary(["cat"]), cache=cache)
    assert [path.name.startswith(".writing-") for path in cache.iterdir()] == [True]
    monkeypatch.undo()
    with pytest.raises(ValueError, match="Received: 'the'"):
        Corpus.from_directory(directory, vocabulary=Vocabulary(["cat"]), cache=cache)
    assert list(cache.iterdir()) == []


def test_a_bar_while_it_is_written(directory, cache, capsys):
    Corpus.from_directory(directory, cache=cache)
    assert "MB" in capsys.readouterr().out
    Corpus.from_directory(directory, cache=cache)
    Corpus.from_directory(directory, min_count=2, cache=cache, verbose=0)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("file", ["0.ids", "2.ids", "vocabulary.json"])
def test_an_interrupted_writing_is_begun_again(directory, cache, monkeypatch, file):
    def fail(path, writer):
        if path.name == file:
            raise KeyboardInterrupt
        return write(path, writer)

    write = word_ids.write_whole
    with monkeypatch.context() as patch:
        patch.setattr(word_ids, "write_whole", fail)
        patch.setattr("awd_keras.data.vocabulary.write_whole", fail)
        with pytest.raises(KeyboardInterrupt):
            Corpus.from_directory(directory, cache=cache)
    assert list(cache.iterdir()) == []
    # The files that a killed process has left aren't used.
    (cache / ".writing-0-1").mkdir()
    assert_same(Corpus.from_directory(directory, cache=cache), Corpus.from_directory(directory))


def test_two_processes_at_once(directory, cache, monkeypatch):
    def write(*arguments):
        monkeypatch.setattr(word_ids, "_write", original)
        # Another process, which ends first.
        with monkeypatch.context() as patch:
            patch.setattr("os.getpid", lambda: 1)
            Corpus.from_directory(directory, cache=cache)
        original(*arguments)

    original = word_ids._write
    monkeypatch.setattr(word_ids, "_write", write)
    assert_same(Corpus.from_directory(directory, cache=cache), Corpus.from_directory(directory))
    assert len(list(cache.iterdir())) == 1


def test_where_nothing_can_be_written(directory, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        Corpus.from_directory(directory, cache=tmp_path / "file")


@pytest.mark.parametrize("room", [3000, 7000])
def test_a_full_disk_cuts_nothing_short(directory, cache, room):
    """The last ids of a text would be lost, and every later run would read a shorter one."""
    (directory / "train.txt").write_text("a b c d\n" * 400)  # 2,000 ids, 8,000 bytes
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(OSError, match="cache.* can't be written: File too large"):
            Corpus.from_directory(directory, cache=cache, verbose=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(cache.iterdir()) == []
    assert len(Corpus.from_directory(directory, cache=cache, verbose=0).train) == 2000


def test_memory_is_bounded(directory, cache, monkeypatch):
    monkeypatch.setattr(word_ids, "_PIECE", 2**12)
    monkeypatch.setattr(units, "_BLOCK", 2**12)
    (directory / "train.txt").write_text("a few words of a long text\n" * 100_000)
    tracemalloc.start()
    try:
        corpus = Corpus.from_directory(directory, cache=cache, verbose=0)
        dataset = BPTTDataset(corpus.train, batch_size=10)
        dataset[0]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert corpus.train.nbytes == 3_200_000
    assert peak < 1_000_000

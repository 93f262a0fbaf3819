"""`examples/tunes.py`: reads ABC notation, keeps tunes in one split each, and writes a tune that can be read again."""

import importlib
import sys
from pathlib import Path

import pytest

TUNE = """X: {number}
T: A tune, with (3 signs | of its own
M: 6/8
L: 1/8
K: {key} % a comment
|: d2 (3ABc | ^f>g {{a}}b'2 "Am" .z | =B,3/2 A,/ :|[1 G4 || % the end: A B C
[2 e6 |]
"""
WORDS = [
    "|:",
    "d2",
    "(3",
    "A",
    "B",
    "c",
    "|",
    "^f>",
    "g",
    "b'2",
    "z",
    "|",
    "=B,3/2",
    "A,/",
    ":|",
    "[1",
    "G4",
    "||",
    "[2",
    "e6",
    "|]",
]


@pytest.fixture
def tunes(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "examples"))
    return importlib.import_module("tunes")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "some.abc"
    texts = [TUNE.format(number=number, key="G" if number % 2 else "Em") for number in range(40)]
    others = [TUNE.format(number=41, key="D").replace("L: 1/8", "L: 1/16"), "% no tune\nL: 1/8\n"]
    path.write_text("\n\n".join([*texts, *others]), encoding="utf-8")
    return path


def test_a_tune_is_its_metre_its_key_and_its_notes(tunes, file):
    read = tunes.read_tunes([file])
    assert len(read) == 40
    assert read[0] == ["M:6/8", "K:Em", *WORDS]
    assert read[1] == ["M:6/8", "K:G", *WORDS]


def test_no_tune_is_in_two_splits(tunes):
    corpus = tunes.read_corpus([["M:C", "K:G", *[f"n{number}"] * 5] for number in range(60)])
    words = {split: set(corpus.vocabulary.decode(getattr(corpus, split))) for split in ("train", "valid", "test")}
    notes = {split: {word for word in found if word[0] == "n"} for split, found in words.items()}
    assert [len(notes[split]) for split in ("train", "valid", "test")] == [18, 6, 12]
    assert len(set.union(*notes.values())) == 36
    assert all("<eos>" in found for found in words.values())


def test_what_is_written_is_the_tune_that_was_read(tunes, file, tmp_path):
    [tune, *_] = tunes.read_tunes([file])
    text = tunes.as_abc(tune)
    assert text.splitlines()[:5] == ["X:1", "T:New", "M:6/8", "L:1/8", "K:Em"]
    written = tmp_path / "written.abc"
    written.write_text(text, encoding="utf-8")
    assert tunes.read_tunes([written]) == [tune]


def test_it_trains_and_writes_a_tune(tunes, file, monkeypatch, capsys):
    monkeypatch.setattr(tunes, "collection", lambda: [file])
    monkeypatch.setattr(sys, "argv", ["tunes.py", "--epochs", "1"])
    tunes.main()
    printed = capsys.readouterr().out
    assert "AWD-LSTM" in printed
    assert "\nX:1\nT:New\nM:6/8\nL:1/8\nK:G\n" in printed

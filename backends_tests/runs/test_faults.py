import contextlib
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from awd_keras import runs
from awd_keras.data import Vocabulary
from awd_keras.output import write_whole
from backends_tests.runs.small_run import SETTINGS, contents, differences, make_corpus

pytestmark = pytest.mark.once

SHORT = {**SETTINGS, "epochs": 2}


@contextlib.contextmanager
def copies(directory, folder):
    """Copies `directory` before and after each operation on its files, as `kill -9` at that moment would leave it."""
    seen = {}

    def copy():
        # Once for each set of whole files. A file that is being written is cut in half.
        files = {path.name: path.read_bytes() for path in directory.glob("*")}
        whole = frozenset(item for item in files.items() if not item[0].startswith(".writing-"))
        if files:
            moment = seen.setdefault(whole, folder / f"moment-{len(seen)}")
            moment.mkdir(exist_ok=True)
            for name, content in files.items():
                half = content[: len(content) // 2] if name.startswith(".writing-") else content
                (moment / name).write_bytes(half)

    def around(operation):
        def wrapped(*args, **kwargs):
            copy()
            operation(*args, **kwargs)
            copy()

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((os, "replace"), (os, "fsync"), (Path, "unlink")):
            patch.setattr(module, name, around(getattr(module, name)))
        yield


def test_killed_at_any_operation_on_a_file(tmp_path):
    directory = tmp_path / "run"
    with copies(directory, tmp_path):
        runs.train(directory, make_corpus(), **SHORT)
    expected = contents(directory)
    being_written = set()
    moments = sorted(tmp_path.glob("moment-*"))
    assert len(moments) >= 12
    for copy in moments:
        being_written |= {path.name.removeprefix(".writing-") for path in copy.glob(".writing-*")}
        if (copy / "config.json").exists():
            runs.resume(copy, make_corpus(), verbose=0)
        else:
            # There was no run yet, so the same command starts it again.
            runs.train(copy, make_corpus(), **SHORT)
        assert differences(contents(copy), expected) == [], copy.name
    assert being_written == {*runs.Run.FILES, *(f"checkpoint-{epoch}.keras" for epoch in range(3))}


def test_an_old_run_is_no_run_while_it_is_replaced(tmp_path):
    """So `--resume` can't mix the old and the new run."""
    old, new = {"seed": 1}, {"seed": 2}
    directory = tmp_path / "run"
    runs.Run.create(directory, old, Vocabulary(["<eos>"]))
    for name in ("checkpoint-4.keras", "metrics.jsonl", "model.keras"):
        (directory / name).write_text("old", encoding="utf-8")
    with copies(directory, tmp_path):
        runs.Run.create(directory, new, Vocabulary(["<eos>", "a"]), overwrite=True)
    seeds = set()
    for copy in tmp_path.glob("moment-*"):
        texts = {path.name: path.read_text(encoding="utf-8") for path in copy.iterdir() if path.name[0] != "."}
        seed = re.findall(r'"seed": (\d)', texts.pop("config.json", ""))
        seeds |= set(seed)
        if seed == ["1"]:
            assert len(texts) == 4
        if seed == ["2"]:
            assert not {"checkpoint-4.keras", "metrics.jsonl", "model.keras"} & set(texts)
    assert seeds == {"1", "2"}


def test_what_is_written_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor):
        done.append(("fsync", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def note_replace(source, target):
        done.append(("replace", os.stat(source).st_ino))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    path = tmp_path / "file"
    write_whole(path, lambda beside: beside.write_text("all", encoding="utf-8"))
    file, directory = path.stat().st_ino, tmp_path.stat().st_ino
    assert done == [("fsync", file), ("replace", file), ("fsync", directory)]


def test_a_full_disk(tmp_path, monkeypatch):
    """The first byte over a limit raises ENOSPC, as a full disk does, in `model.save` of the second epoch."""
    directory = tmp_path / "run"
    save = keras.Model.save

    def fill(self, path, *args, **kwargs):
        if "checkpoint-2" not in str(path):
            return save(self, path, *args, **kwargs)
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(keras.Model, "save", fill)
    with pytest.raises(OSError) as raised:
        runs.train(directory, make_corpus(), **SHORT)
    assert re.fullmatch(
        rf"{directory}/checkpoint-2.keras can't be written: No space left on device. {directory}/checkpoint-1.keras is "
        rf"whole. To go on: awd-keras train --resume {directory}",
        str(raised.value),
    )
    monkeypatch.undo()
    assert list(directory.glob(".writing-*")) == []
    runs.resume(directory, make_corpus(), verbose=0)
    runs.train(tmp_path / "whole", make_corpus(), **SHORT)
    assert differences(contents(directory), contents(tmp_path / "whole")) == []


@pytest.mark.thorough
def test_processes_that_are_killed_stopped_or_out_of_disk():
    """Some of the faults that `nox -s faults` tries."""
    script = Path(__file__).with_name("faults.py")
    done = subprocess.run([sys.executable, str(script), "--kills", "2"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 killed runs" in done.stdout
    assert "0 failed" in done.stdout

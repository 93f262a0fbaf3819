import errno
import json
import shutil
import zipfile

import numpy as np
import pytest

from awd_keras import runs
from awd_keras.data import Corpus
from backends_tests.helpers import once
from backends_tests.runs.small_run import (
    EPOCHS,
    SETTINGS,
    arrays,
    contents,
    copies_after_each_epoch,
    differences,
    make_corpus,
)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The directory of a whole run, and copies of it after each epoch, as `kill -9` would have left it."""
    folder = tmp_path_factory.mktemp("runs")
    with copies_after_each_epoch(folder):
        runs.train(folder / "whole", make_corpus(), **SETTINGS)
    return folder


@pytest.fixture
def copy(uninterrupted, tmp_path):
    return lambda epoch: shutil.copytree(uninterrupted / f"after-{epoch}", tmp_path / "run")


def test_the_run_is_worth_resuming(uninterrupted):
    """If nothing were dropped, averaged or varied, the tests below could not fail."""
    run = runs.Run.open(uninterrupted / "whole")
    assert run.result["triggered_epoch"] == 3
    assert [line["averaging"] for line in run.metrics()] == [False, False, True, True, True]
    last = arrays(run.path(f"checkpoint-{EPOCHS}.keras"))
    drawn = {name: array for name, array in last.items() if name.endswith("seed_state")}
    assert len(drawn) == 4
    # Two windows an epoch.
    assert all(seed[1] == 2 * EPOCHS for seed in drawn.values())
    # The best model is that of epoch 1, not the last one.
    assert differences(arrays(run.path("model.keras")), last)


# Interrupted before the epoch at whose end averaging begins, right after it, and later.
@pytest.mark.parametrize("epoch", [*once(2), 3, *once(4)])
def test_goes_on_bit_for_bit(uninterrupted, copy, epoch):
    directory = copy(epoch)
    # NumPy's global seed must have no effect.
    np.random.seed(epoch)
    result = runs.resume(directory, make_corpus(), verbose=0)
    assert differences(contents(uninterrupted / "whole"), contents(directory)) == []
    assert result == runs.Run.open(directory).result


@pytest.mark.once
def test_twice_interrupted(uninterrupted, copy, monkeypatch):
    """The second interruption is in the middle of the first epoch of a resumed run."""
    directory = copy(1)

    class Killed(BaseException):
        pass

    def kill(self, batch, logs=None):
        if batch == 1:
            raise Killed

    monkeypatch.setattr(runs.StopOnSignal, "on_train_batch_end", kill)
    with pytest.raises(Killed):
        runs.resume(directory, make_corpus(), verbose=0)
    monkeypatch.undo()
    runs.resume(directory, make_corpus(), verbose=0)
    assert differences(contents(uninterrupted / "whole"), contents(directory)) == []


def test_a_finished_run_is_left_alone(uninterrupted, monkeypatch):
    directory = uninterrupted / "whole"
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in directory.iterdir()}
    assert runs.resume(directory, make_corpus()) == runs.Run.open(directory).result
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in directory.iterdir()} == before


@pytest.mark.once
def test_more_epochs(uninterrupted, tmp_path):
    directory = tmp_path / "run"
    runs.train(directory, make_corpus(), **{**SETTINGS, "epochs": 2})
    assert runs.resume(directory, make_corpus(), epochs=EPOCHS, verbose=0)["epochs"] == EPOCHS
    assert differences(contents(uninterrupted / "whole"), contents(directory)) == []
    with pytest.raises(ValueError, match=f"`epochs` must be at least {EPOCHS}"):
        runs.resume(directory, make_corpus(), epochs=2)
    assert runs.Run.open(directory).result["epochs"] == EPOCHS


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"devices": 3}, "`devices`"), ({"skip_nonfinite": True}, "`skip_nonfinite` needs the optimizer NTASGD")],
)
def test_a_refused_one_changes_nothing(tmp_path, arguments, message):
    runs.train(tmp_path, make_corpus(), **{**SETTINGS, "epochs": 1, "optimizer": "adam"})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=message):
        runs.resume(tmp_path, make_corpus(), epochs=3, verbose=0, **arguments)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.once
def test_a_finished_run_that_cannot_go_on_keeps_its_result(uninterrupted, tmp_path):
    directory = shutil.copytree(uninterrupted / "whole", tmp_path / "run")
    for checkpoint in directory.glob("checkpoint-*"):
        checkpoint.unlink()
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(ValueError, match="can't be resumed: .* no whole checkpoint"):
        runs.resume(directory, make_corpus(), epochs=EPOCHS + 1, verbose=0)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
    # Without more epochs, its result is all that is asked for.
    assert runs.resume(directory, make_corpus(), devices=1, verbose=0)["epochs"] == EPOCHS


@pytest.mark.once
def test_a_checkpoint_that_cannot_be_read_just_now_is_kept(copy, monkeypatch):
    directory = copy(4)
    original, refused = zipfile.ZipFile, []

    def refuse(file, *arguments, **options):
        if str(file).endswith("checkpoint-4.keras") and not refused:
            refused.append(file)
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return original(file, *arguments, **options)

    monkeypatch.setattr(zipfile, "ZipFile", refuse)
    with pytest.raises(OSError, match="Permission denied.*checkpoint-4.keras is whole"):
        runs.resume(directory, make_corpus(), verbose=0)
    assert refused
    assert {"checkpoint-3.keras", "checkpoint-4.keras"} <= {path.name for path in directory.iterdir()}


# Damaged among the weights, and where Keras doesn't read: zipfile checks a sum only if a whole member is read.
@pytest.mark.once
@pytest.mark.parametrize("near", [b"seed_state", b"vocabulary_size"])
def test_a_damaged_checkpoint_is_stepped_over(uninterrupted, copy, capsys, near):
    directory = copy(4)
    path = directory / "checkpoint-4.keras"
    # A single wrong bit.
    content = bytearray(path.read_bytes())
    content[content.index(near)] ^= 1
    path.write_bytes(content)
    runs.resume(directory, make_corpus(), verbose=0)
    said = capsys.readouterr().err
    assert "checkpoint-4.keras is damaged, and is left out" in said
    assert said.count("\n") == 1
    assert differences(contents(uninterrupted / "whole"), contents(directory)) == []


@pytest.mark.once
def test_a_torn_line_of_metrics_is_stepped_over(uninterrupted, copy, capsys):
    """The epoch is run again from the previous checkpoint, which writes the line again."""
    directory = copy(4)
    path = directory / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    runs.resume(directory, make_corpus(), verbose=0)
    assert "metrics.jsonl, line 4 is not JSON" in capsys.readouterr().err
    assert differences(contents(uninterrupted / "whole"), contents(directory)) == []


@pytest.mark.once
def test_no_checkpoint_is_left(copy, capsys):
    directory = copy(4)
    (directory / "checkpoint-3.keras").unlink()
    (directory / "checkpoint-4.keras").write_bytes(b"")
    before = (directory / "metrics.jsonl").read_bytes()
    with pytest.raises(ValueError, match="can't be resumed: .* 4 epochs .* no whole checkpoint"):
        runs.resume(directory, make_corpus(), verbose=0)
    assert (directory / "metrics.jsonl").read_bytes() == before


@pytest.mark.once
@pytest.mark.parametrize("lines", [0, 1])
def test_metrics_that_are_lost_cost_no_checkpoint(copy, lines):
    directory = copy(4)
    path = directory / "metrics.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:lines]))
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(ValueError, match=f"has {lines} epochs .*found: checkpoint-4.keras, checkpoint-3.keras"):
        runs.resume(directory, make_corpus(), verbose=0)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


@pytest.mark.once
def test_the_first_checkpoint_is_damaged(copy):
    directory = copy(0)
    (directory / "checkpoint-0.keras").write_bytes(b"half")
    with pytest.raises(ValueError, match="has 0 epochs .*found: checkpoint-0.keras"):
        runs.resume(directory, make_corpus(), verbose=0)


@pytest.mark.once
@pytest.mark.parametrize("done", [2, EPOCHS])
def test_the_best_model_is_lost_or_damaged(copy, done):
    """The error comes before hours of training, not after."""
    directory = copy(done)
    (directory / "model.keras").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"model\.keras"):
        runs.resume(directory, make_corpus(), verbose=0)
    (directory / "model.keras").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no model\.keras\.$"):
        runs.resume(directory, make_corpus(), verbose=0)
    assert len(runs.Run.open(directory).metrics()) == done


@pytest.mark.once
def test_skip_nonfinite_is_a_boolean(copy):
    directory = copy(2)
    with pytest.raises(ValueError, match="`skip_nonfinite` must be a boolean"):
        runs.resume(directory, make_corpus(), skip_nonfinite="no")
    assert runs.Run.open(directory).setting("skip_nonfinite") is False


@pytest.mark.once
@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_another_text_is_refused(copy, split):
    directory = copy(2)
    corpus = make_corpus()
    ids = getattr(corpus, split)
    ids[7] = (ids[7] + 1) % 9
    with pytest.raises(ValueError, match="another text"):
        runs.resume(directory, corpus, verbose=0)


@pytest.mark.once
def test_the_text_is_found_again(copy, tmp_path, monkeypatch):
    directory = copy(2)
    corpus = make_corpus()
    with pytest.raises(ValueError, match="pass it as"):
        runs.resume(directory)
    finished = []
    # Not by the module's path, as the function `resume` has the name of its module.
    monkeypatch.setitem(runs.resume.__globals__, "finish", lambda run, corpus, verbose: finished.append(corpus))
    words = np.array(corpus.vocabulary.words)
    for split in ("train", "valid", "test"):
        text = " ".join(words[getattr(corpus, split)]).replace(" <eos> ", "\n")
        (tmp_path / f"{split}.txt").write_text(text, encoding="utf-8")
    cached = Corpus.from_directory(tmp_path, min_count=8, cache=tmp_path / "cache")
    for original in (Corpus.from_directory(tmp_path, min_count=9), cached, Corpus.python_docs(min_count=4)):
        path = directory / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        changed = {**config, "text": original.source, "text_digest": original.digest}
        path.write_text(json.dumps(changed), encoding="utf-8")
        runs.resume(directory)
        assert finished.pop().digest == original.digest

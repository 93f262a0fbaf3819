"""Runs that begin with the model of another one, on another text."""

import json
import shutil

import numpy as np
import pytest

from awd_keras import cli, runs
from awd_keras.data import Corpus, Vocabulary
from awd_keras.models import adapt_vocabulary
from backends_tests.runs.small_run import SETTINGS, arrays, contents, copies_after_each_epoch, differences, make_corpus

EPOCHS = 2
OWN = {**SETTINGS, "epochs": EPOCHS}
OLD = {**SETTINGS, "epochs": 1, "model": {**SETTINGS["model"], "weight_drop": 0.25}}


def other_corpus():
    """A corpus with the same ids, the last two of which are other words."""
    corpus = make_corpus()
    return Corpus(corpus.train, corpus.valid, corpus.test, Vocabulary(["<eos>", *"abcdefxy"]))


def settings(**changes):
    """The settings of a run that begins with another run's model."""
    return {name: value for name, value in {**OWN, **changes}.items() if name != "model" or "model" in changes}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The directories of a run, of one that began with its model, and copies of the latter after each epoch."""
    folder = tmp_path_factory.mktemp("runs")
    runs.train(folder / "old", make_corpus(), **OLD)
    with copies_after_each_epoch(folder):
        runs.train(folder / "new", other_corpus(), start_from=folder / "old", **settings())
    return folder


def test_the_run_begins_with_the_others_best_model(folder):
    old, new = runs.Run.open(folder / "old"), runs.Run.open(folder / "new")
    expected = adapt_vocabulary(old.model(), old.vocabulary(), new.vocabulary())
    first = arrays(folder / "after-0" / "checkpoint-0.keras")
    start = [value for name, value in first.items() if "optimizer" not in name and "seed" not in name]
    for weight in expected.get_weights():
        assert any(np.array_equal(weight, value) for value in start)
    # The new run has its rates too.
    assert new.model().weight_drop == 0.25
    about = new.result["started_from"]
    assert about == new.setting("started_from")
    assert (about["run"], about["known_words"]) == (str(folder / "old"), 7)
    assert "started_from" not in old.result


@pytest.mark.parametrize("epoch", [0, 1])
def test_goes_on_without_the_old_run(folder, tmp_path, epoch):
    directory = shutil.copytree(folder / f"after-{epoch}", tmp_path / "run")
    (folder / "old").rename(folder / "gone")
    try:
        runs.resume(directory, other_corpus(), verbose=0)
    finally:
        (folder / "gone").rename(folder / "old")
    assert differences(contents(folder / "new"), contents(directory)) == []


@pytest.mark.once
def test_killed_before_its_first_checkpoint(folder, tmp_path):
    """It begins once more with the other run's model, as long as that is what it was."""
    directory = shutil.copytree(folder / "after-0", tmp_path / "run")
    (directory / "checkpoint-0.keras").unlink()
    changed = shutil.copytree(directory, tmp_path / "changed")
    runs.resume(directory, other_corpus(), verbose=0)
    assert differences(contents(folder / "new"), contents(directory)) == []
    config = json.loads((changed / "config.json").read_text(encoding="utf-8"))
    config["started_from"]["model_digest"] = "0" * 64
    (changed / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ValueError, match="was started from .*model.keras, which has changed since"):
        runs.resume(changed, other_corpus(), verbose=0)


@pytest.mark.once
def test_fine_tuning_of_such_a_run(folder, tmp_path):
    result = runs.finetune(folder / "new", tmp_path / "finer", corpus=other_corpus(), epochs=1, verbose=0)
    assert "started_from" not in result
    assert result["finetuned_from"]["run"] == str(folder / "new")


@pytest.mark.once
def test_rates_may_be_others_and_sizes_not(folder, tmp_path):
    start = {"start_from": folder / "old"}
    arguments = settings(model={"weight_drop": 0.5, "embedding_dim": 6}, epochs=1)
    runs.train(tmp_path / "new", other_corpus(), **start, **arguments)
    assert runs.Run.open(tmp_path / "new").model().weight_drop == 0.5
    with pytest.raises(ValueError, match="`hidden_units` must be that of the run to start from, 8. Received: .*=9"):
        runs.train(tmp_path / "other", other_corpus(), **start, **settings(model={"hidden_units": 9}))
    assert not (tmp_path / "other").exists()
    with pytest.raises(ValueError, match="`output` must be another directory than that of the run to start from"):
        runs.train(folder / "old", other_corpus(), **start, **settings(overwrite=True))
    with pytest.raises(FileNotFoundError, match="There is no run in .*nowhere"):
        runs.train(tmp_path / "other", other_corpus(), start_from=tmp_path / "nowhere", **settings())


@pytest.mark.once
def test_a_model_that_is_not_adapted(tmp_path):
    arguments = {**OLD, "model": {**OLD["model"], "tie_weights": False}}
    runs.train(tmp_path / "old", make_corpus(), **arguments)
    with pytest.raises(
        ValueError, match="old can't start a run with other words. Argument `model` must be .* tied weights"
    ):
        runs.train(tmp_path / "new", other_corpus(), start_from=tmp_path / "old", **settings())
    # The same words need no adapting.
    runs.train(tmp_path / "new", make_corpus(), start_from=tmp_path / "old", **settings(epochs=1))
    assert runs.Run.open(tmp_path / "new").result["started_from"]["known_words"] == 9


@pytest.mark.once
def test_the_command(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").mkdir()
    for split in ("train", "valid", "test"):
        (tmp_path / "text" / f"{split}.txt").write_text("a b x\n" * 30, encoding="utf-8")
    shutil.copytree(folder / "old", "old")
    command = ["train", "--from", "old", "--data", "text", "--output", "new", "--epochs", "1", "--batch-size", "4"]
    assert cli.main(command) == 0
    assert "started from      old, which knew 3 of the words\n" in capsys.readouterr().out
    config = json.loads((tmp_path / "new" / "config.json").read_text(encoding="utf-8"))
    assert (config["model"]["embedding_dim"], config["preset"]) == (6, "tiny")
    for options, told in (
        (["--output", "other", "--embedding-dim", "7"], "error: Option --embedding-dim must be that of the run to"),
        (["--output", "other", "--preset", "ptp"], "error: Option --preset must be one of "),
        (["--resume", "new"], "keeps the settings of the run. Leave out: --from"),
    ):
        assert cli.main(["train", "--from", "old", "--data", "text", *options]) == 2
        assert told in capsys.readouterr().err

"""Fine-tuning: it averages from the first step, ends by the same criterion, and is scored."""

import hashlib
import shutil

import keras
import numpy as np
import pytest

from awd_keras import runs
from awd_keras.data import Corpus
from awd_keras.evaluation import perplexity
from awd_keras.models import PRESETS
from awd_keras.runs.fitting import stopped_epoch
from backends_tests.helpers import once
from backends_tests.runs.numpy_run import SAVED, go_on, optimizer_variables
from backends_tests.runs.small_run import SETTINGS, arrays, contents, copies_after_each_epoch, differences, make_corpus
from backends_tests.runs.test_faults import copies


def make_text():
    """A text whose validation is mostly like training, so that it gets better before it gets worse."""
    corpus = make_corpus()
    valid = np.concatenate([np.resize(corpus.train, 85), corpus.valid[85:]])
    return Corpus(corpus.train, valid, corpus.test, corpus.vocabulary)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def worse_epoch(measures, n):
    """The first epoch that is worse than the best of all earlier ones except the last n."""
    found = [k + 1 for k in range(n + 1, len(measures)) if measures[k] > np.min(measures[: k - n])]
    return found[0] if found else None


def perplexities(run):
    return [line["valid_perplexity"] for line in run.metrics()]


def finetune(folder, output, **arguments):
    arguments = {"epochs": 12, "corpus": make_text(), "verbose": 0, **arguments}
    return runs.finetune(folder / "run", output, **arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run, its fine-tuning, and copies of that after each epoch, as `kill -9` would have left it."""
    folder = tmp_path_factory.mktemp("runs")
    runs.train(folder / "run", make_text(), **{**SETTINGS, "epochs": 2})
    with copies_after_each_epoch(folder):
        finetune(folder, folder / "whole")
    return folder


@pytest.fixture
def no_fit(monkeypatch):
    """Makes any training fail the test."""

    def fit(*args, **kwargs):
        raise AssertionError("trained")

    monkeypatch.setattr(keras.Model, "fit", fit)


def test_stops_where_the_criterion_says(folder):
    run = runs.Run.open(folder / "whole")
    measures = perplexities(run)
    assert worse_epoch(measures, 1) == len(measures) == run.result["stopped_epoch"] == run.result["epochs"]
    assert 2 < len(measures) < 12
    assert [line["averaging"] for line in run.metrics()] == [True] * len(measures)
    assert run.result["triggered_epoch"] == 0


def test_the_best_model_is_scored(folder):
    corpus = make_text()
    old, run = runs.Run.open(folder / "run"), runs.Run.open(folder / "whole")
    scores = [
        perplexity(run.model(), tokens, rows, 10).perplexity for tokens, rows in ((corpus.valid, 10), (corpus.test, 1))
    ]
    assert [run.result["valid_perplexity"], run.result["test_perplexity"]] == scores
    assert scores[0] == pytest.approx(min(perplexities(run)), rel=1e-6)
    assert scores[0] < old.result["valid_perplexity"]
    assert scores[1] != old.result["test_perplexity"]


@pytest.mark.once
def test_it_says_what_it_is(folder):
    old, run = runs.Run.open(folder / "run"), runs.Run.open(folder / "whole")
    start = {
        "run": str(folder / "run"),
        "model_digest": digest(folder / "run" / "model.keras"),
        "valid_perplexity": old.result["valid_perplexity"],
    }
    assert run.result["finetuned_from"] == run.config["finetuned_from"] == start
    own = ("finetuned_from", "epochs")
    assert {**run.config, **dict.fromkeys(own)} == {**old.config, **dict.fromkeys(own)}
    assert run.result.keys() - old.result.keys() == {"finetuned_from", "stopped_epoch"}


def test_starts_with_a_new_optimizer_and_the_masks_of_the_model(folder):
    start = optimizer_variables(folder / "after-0", 0)
    assert (start["iterations"], start["num_averaged"], start["measures"]) == (0, 1, [np.inf] * 2)
    old, new = arrays(folder / "run" / "model.keras"), arrays(folder / "after-0" / "checkpoint-0.keras")
    weights = {name for name in old if not name.startswith("optimizer/")}
    assert len([name for name in weights if name.endswith("seed_state")]) == 4
    assert not differences({name: old[name] for name in weights}, {name: new[name] for name in weights})


@pytest.mark.parametrize("made_by", ["torch", *once("jax", "tensorflow")])
def test_as_numpy_says(tmp_path, made_by):
    """For a run of each backend, fine-tuned on this one."""
    old = runs.Run(tmp_path / "run")
    shutil.copytree(SAVED / made_by, old.directory)
    shutil.copy(old.path("checkpoint-3.keras"), old.path("model.keras"))
    # With this perplexity, the initial model is the best.
    old.write_result({"valid_perplexity": 1.5})
    weights = optimizer_variables(old.directory, 3)["averages"]
    result = finetune(tmp_path, tmp_path / "new", corpus=make_corpus())
    run = runs.Run.open(tmp_path / "new")

    config, count = run.config, len(run.metrics())
    iterates, averages, averaged, expected = go_on(weights, weights, 1, range(count), config, make_corpus())
    found = optimizer_variables(run.directory, count)
    assert found["num_averaged"] == averaged == 1 + 2 * count
    for name, values in (("iterates", iterates), ("averages", averages)):
        for mine, its in zip(found[name], values, strict=True):
            np.testing.assert_allclose(mine, its, rtol=0, atol=1e-5)
    np.testing.assert_allclose(perplexities(run), [valid for _, valid in expected], rtol=1e-5)
    assert worse_epoch([valid for _, valid in expected], 1) == count == result["stopped_epoch"]
    assert config["backend"] == result["backend"] == keras.backend.backend()
    # No epoch is better than the initial model.
    assert digest(run.path("model.keras")) == digest(old.path("model.keras"))


def last_epoch(folder):
    return len(runs.Run.open(folder / "whole").metrics())


# Interrupted before the first epoch, after it, or after the last one but before the result.
@pytest.mark.parametrize("back", [1, *once(None, 0)])
def test_goes_on_bit_for_bit(folder, tmp_path, back, request):
    epoch = 0 if back is None else last_epoch(folder) - back
    directory = shutil.copytree(folder / f"after-{epoch}", tmp_path / "new")
    if back == 0:
        request.getfixturevalue("no_fit")
    # The old run isn't needed any more.
    (folder / "run").rename(folder / "away")
    try:
        assert runs.resume(directory, make_text(), verbose=0) == runs.Run.open(directory).result
    finally:
        (folder / "away").rename(folder / "run")
    assert differences(contents(folder / "whole"), contents(directory)) == []


@pytest.mark.once
def test_more_epochs_change_nothing_where_it_has_stopped(folder, tmp_path, no_fit):
    directory = shutil.copytree(folder / "whole", tmp_path / "new")
    result = runs.resume(directory, make_text(), epochs=20)
    assert (result["epochs"], result["stopped_epoch"]) == (last_epoch(folder),) * 2


@pytest.mark.once
def test_as_many_epochs_as_the_preset_has(folder, tmp_path, no_fit):
    with pytest.raises(AssertionError, match="trained"):
        finetune(folder, tmp_path / "new", epochs=None)
    assert runs.Run.open(tmp_path / "new").config["epochs"] == PRESETS["tiny"].epochs


@pytest.mark.once
@pytest.mark.parametrize(
    ("measures", "expected"),
    [
        ([5.0, 6.0], None),
        ([5.0, 6.0, 5.5], 3),
        # An overflow is the worst measure, but not worse than another overflow.
        ([5.0, None, 4.0, None], 4),
        ([None, None, None, None], None),
    ],
)
def test_where_the_metrics_say_that_it_is_over(measures, expected):
    lines = [{"epoch": k + 1, "valid_perplexity": measure} for k, measure in enumerate(measures)]
    assert stopped_epoch(lines, 1) == expected


@pytest.mark.once
def test_killed_before_the_first_checkpoint(folder, tmp_path, monkeypatch):
    """Killed before and after each operation on a file."""

    class Killed(BaseException):
        pass

    def kill(self, logs=None):
        raise Killed

    monkeypatch.setattr(runs.RunRecorder, "on_train_begin", kill)
    with copies(tmp_path / "new", tmp_path), pytest.raises(Killed):
        finetune(folder, tmp_path / "new")
    monkeypatch.undo()
    fitted = []

    def fit(model, *args, **kwargs):
        fitted.append(model)
        raise Killed

    monkeypatch.setattr(keras.Model, "fit", fit)
    moments = sorted(tmp_path.glob("moment-*"))
    assert {"config.json", "vocabulary.json", "model.keras"} == {
        path.name for moment in moments for path in moment.iterdir() if path.name[0] != "."
    }
    expected = optimizer_variables(folder / "after-0", 0)["averages"]
    for moment in moments:
        begun = (moment / "config.json").exists()
        with pytest.raises(Killed):
            runs.resume(moment, make_text()) if begun else finetune(folder, moment)
        assert digest(moment / "model.keras") == digest(folder / "run" / "model.keras")
        optimizer = fitted.pop().optimizer
        for mine, its in zip(optimizer._averages, expected, strict=True):
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(mine), its)


# Bad input


def files(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.once
def test_a_run_that_is_not_finished(folder, tmp_path, no_fit):
    directory = shutil.copytree(folder / "after-1", tmp_path / "run")
    with pytest.raises(ValueError, match=f"{directory} isn't finished.* awd-keras train --resume {directory}"):
        finetune(tmp_path, tmp_path / "new")
    with pytest.raises(FileNotFoundError, match="There is no run in"):
        runs.finetune(tmp_path / "none", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.once
@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_another_text(folder, tmp_path, split, no_fit):
    corpus = make_text()
    ids = getattr(corpus, split)
    ids[7] = (ids[7] + 1) % 9
    with pytest.raises(ValueError, match="another text"):
        finetune(folder, tmp_path / "new", corpus=corpus)
    assert not (tmp_path / "new").exists()


@pytest.mark.once
def test_where_a_run_is_already(folder, tmp_path, no_fit):
    """It is deleted only with `overwrite=True`, and only if nothing else is wrong."""
    directory = shutil.copytree(folder / "after-1", tmp_path / "new")
    before = files(directory)
    with pytest.raises(ValueError, match="already holds a run.*--overwrite"):
        finetune(folder, directory)
    with pytest.raises(ValueError, match="`epochs` must be a positive integer"):
        finetune(folder, directory, epochs=0, overwrite=True)
    shutil.copytree(folder / "run", tmp_path / "run")
    (tmp_path / "run" / "model.keras").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"run/model\.keras is not a whole Keras model"):
        finetune(tmp_path, directory, overwrite=True)
    assert files(directory) == before
    with pytest.raises(AssertionError, match="trained"):
        finetune(folder, directory, overwrite=True)
    assert files(directory).keys() == {"config.json", "vocabulary.json", "model.keras"}


@pytest.mark.once
def test_over_itself(folder, tmp_path, no_fit):
    directory = shutil.copytree(folder / "run", tmp_path / "run")
    before = files(directory)
    with pytest.raises(ValueError, match="`output` must be another directory"):
        finetune(tmp_path, tmp_path / "." / "new" / ".." / "run", overwrite=True)
    assert files(directory) == before


@pytest.mark.once
def test_the_start_is_another_one_now(folder, tmp_path, no_fit):
    shutil.copytree(folder / "run", tmp_path / "run")
    with pytest.raises(AssertionError, match="trained"):
        finetune(tmp_path, tmp_path / "new")
    (tmp_path / "new" / "model.keras").unlink()
    shutil.copy(folder / "whole" / "model.keras", tmp_path / "run")
    with pytest.raises(ValueError, match=r"was started from .*run/model\.keras, which has changed since"):
        runs.resume(tmp_path / "new", make_text())
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(FileNotFoundError, match=f"There is no run in {tmp_path}/run"):
        runs.resume(tmp_path / "new", make_text())


@pytest.mark.once
def test_killed_before_the_first_checkpoint_it_has_the_start_itself(folder, tmp_path, no_fit):
    shutil.copytree(folder / "run", tmp_path / "run")
    with pytest.raises(AssertionError, match="trained"):
        finetune(tmp_path, tmp_path / "new")
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(AssertionError, match="trained"):
        runs.resume(tmp_path / "new", make_text())


@pytest.mark.once
def test_lost_checkpoints_do_not_cost_the_best_model(folder, tmp_path, no_fit):
    directory = shutil.copytree(folder / "after-1", tmp_path / "new")
    for path in directory.glob("checkpoint-*"):
        path.unlink()
    before = files(directory)
    with pytest.raises(ValueError, match="has 1 epochs .*no whole checkpoint"):
        runs.resume(directory, make_text())
    assert files(directory) == before


@pytest.mark.once
def test_the_start_is_lost_before_the_first_epoch(folder, tmp_path, no_fit):
    directory = shutil.copytree(folder / "after-0", tmp_path / "new")
    (directory / "model.keras").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no model\.keras\.$"):
        runs.resume(directory, make_text())


@pytest.mark.once
@pytest.mark.parametrize("wrong", [3, {}, {"run": "a", "model_digest": None}, {"run": "a", "model_digest": "b"}])
def test_a_bad_config(folder, tmp_path, wrong):
    run = runs.Run(shutil.copytree(folder / "after-0", tmp_path / "new"))
    run.write_config({**run.config, "finetuned_from": wrong})
    with pytest.raises(ValueError, match=r"config\.json: Argument `finetuned_from` must"):
        runs.resume(run.directory, make_text())

"""The scripts for a GPU that is lent for minutes: what they write, and that they stop in time, continue, and repeat
nothing.
"""

import argparse
import importlib
import json
import os
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from awd_keras import runs
from awd_keras.models import AWDLSTM
from backends_tests.runs.small_run import SETTINGS, make_corpus

SCRIPTS = Path(__file__).parents[2] / "experiments" / "gpu"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Lets the scripts import each other from their directory, and the experiments from the one above."""
    monkeypatch.syspath_prepend(str(SCRIPTS.parent))
    monkeypatch.syspath_prepend(str(SCRIPTS))


@pytest.fixture(scope="module")
def corpus():
    return make_corpus()


@pytest.fixture(scope="module")
def directory(corpus, tmp_path_factory):
    """A finished run of two epochs."""
    directory = tmp_path_factory.mktemp("run") / "small"
    runs.train(directory, corpus, "tiny", **{**SETTINGS, "epochs": 2})
    return directory


def small_model(units=6):
    model = AWDLSTM(9, embedding_dim=units, hidden_units=8, num_layers=2, seed=3)
    model.build((1, None))
    return model


# What is carried


def test_what_the_machine_has_is_left_alone(tmp_path, monkeypatch):
    import prepare

    monkeypatch.setattr(prepare, "SITE", tmp_path)
    (tmp_path / "optree-0.20.0.dist-info").mkdir()
    names = ("keras-3.15.1-py3-none-any.whl", "ml_dtypes-0.6.0-cp312-cp312-x.whl", "optree-0.20.0-cp312-cp312-x.whl")
    keras, ml_dtypes, optree = (Path(name) for name in names)
    assert prepare.lacking([keras, ml_dtypes], {"ml-dtypes", "torch"}) == [keras]
    assert prepare.lacking([ml_dtypes, optree], set()) == [ml_dtypes]
    assert {"keras", "numpy"} <= prepare.installed()


def test_versions_are_those_of_the_project():
    import prepare

    pins = prepare.pinned((SCRIPTS.parents[1] / "constraints.txt").read_text(encoding="utf-8"))
    assert pins["keras"].startswith("keras==3.")
    assert all(pin.startswith(f"{name}==") for name, pin in pins.items())


# What is brought back


def test_half_precision_goes_there_and_back(tmp_path, monkeypatch):
    import half_weights

    monkeypatch.setattr(half_weights, "VALUES", 100)
    model, other = small_model(), small_model()
    for variable in other.trainable_variables:
        variable.assign(0 * variable.numpy())
    paths = half_weights.write_half(model, "small", tmp_path)
    count = sum(np.prod(v.shape) for v in model.trainable_variables)
    assert len(paths) == -(-count // 100) > 9
    half_weights.read_half(other, "small", tmp_path)
    for ours, theirs in zip(model.trainable_variables, other.trainable_variables, strict=True):
        np.testing.assert_array_equal(theirs.numpy(), ours.numpy().astype("float16").astype("float32"))
    with pytest.raises(ValueError, match="values"):
        half_weights.read_half(small_model(units=5), "small", tmp_path)
    paths[3].unlink()
    with pytest.raises(ValueError, match="all parts"):
        half_weights.read_half(other, "small", tmp_path)
    # Parts of an earlier, larger file are deleted.
    monkeypatch.setattr(half_weights, "VALUES", 10**6)
    assert half_weights.write_half(model, "small", tmp_path) == list(tmp_path.iterdir())


def test_a_run_becomes_a_file_and_a_picture(directory, tmp_path):
    from collect_run import collect

    run = runs.Run.open(directory)
    paths = collect(run, "small", tmp_path / "new")
    assert sorted(paths) == sorted((tmp_path / "new").iterdir())
    assert paths[1].read_bytes().startswith(b"\x89PNG")
    collected = json.loads(paths[0].read_text(encoding="utf-8"))
    assert collected["finished"] is True
    for name in ("valid_perplexity", "test_perplexity", "triggered_epoch"):
        assert collected[name] == run.result[name]
    assert collected["metrics"] == run.metrics()
    assert collected["epochs"] == 2
    assert collected["seconds_an_epoch"] == np.median([line["seconds"] for line in run.metrics()])
    assert collected["versions"]["keras"] == run.config["versions"]["keras"]
    assert collected["settings"]["model"] == run.config["model"]
    # No paths of the machine.
    assert "text" not in collected["settings"]
    assert "command" not in collected["hardware"]
    assert collected["hardware"]["device"]


def test_a_run_that_is_not_finished(directory, tmp_path, monkeypatch):
    from collect_run import summary

    run = runs.Run.open(directory)
    lines = [{**line, "valid_perplexity": value} for line, value in zip(run.metrics(), (7.0, None), strict=True)]
    monkeypatch.setattr(runs.Run, "result", None)
    monkeypatch.setattr(runs.Run, "metrics", lambda self: lines)
    monkeypatch.setattr(runs.Run, "config", {**run.config, "preset": "ptb"})
    collected = summary(run)
    assert collected["finished"] is False
    assert (collected["valid_perplexity"], collected["test_perplexity"]) == (7.0, None)
    assert collected["published"]["original code"]["before fine-tuning"] == [61.2, 58.8]


def test_a_run_that_another_one_started(directory, corpus, tmp_path):
    """Without the other one's path, which means nothing elsewhere."""
    from collect_run import summary

    runs.train(tmp_path / "next", corpus, **{**SETTINGS, "epochs": 1}, start_from=directory)
    started = summary(runs.Run.open(tmp_path / "next"))["settings"]["started_from"]
    assert started.keys() == {"model_digest", "known_words"}


def test_a_fine_tuned_run(directory, corpus, tmp_path, monkeypatch):
    from collect_run import summary

    finetuned = tmp_path / "finetuned"
    result = runs.finetune(directory, finetuned, epochs=1, corpus=corpus, verbose=0)
    run = runs.Run.open(finetuned)
    collected = summary(run)
    for name in ("valid_perplexity", "test_perplexity", "stopped_epoch"):
        assert collected[name] == result[name]
    assert collected["triggered_epoch"] == 0
    assert collected["settings"]["finetuned_from"].keys() == {"model_digest", "valid_perplexity"}
    # During a fine-tuning, its initial model may be the best.
    start = {**run.config["finetuned_from"], "valid_perplexity": 0.5}
    monkeypatch.setattr(runs.Run, "config", {**run.config, "finetuned_from": start})
    monkeypatch.setattr(runs.Run, "result", None)
    collected = summary(run)
    assert (collected["finished"], collected["valid_perplexity"]) == (False, 0.5)
    assert (collected["triggered_epoch"], collected["stopped_epoch"]) == (0, None)


def test_half_and_full_precision_are_scored(directory, corpus, tmp_path):
    from score_half import scores
    from train_minutes import bring_back

    paths = bring_back(directory, "small", tmp_path)
    assert [path.name for path in paths] == ["small.json", "small.png", "small-half-1-of-1.npz"]
    collected = json.loads(paths[0].read_text(encoding="utf-8"))
    options = argparse.Namespace(folder=tmp_path, name="small", run=directory)
    found = scores(collected, corpus, options)
    assert found["full"]["valid"] == pytest.approx(collected["valid_perplexity"], rel=1e-6)
    assert found["full"]["test"] == pytest.approx(collected["test_perplexity"], rel=1e-6)
    for split in ("valid", "test"):
        assert found["half"][split] != found["full"][split]
        assert found["half"][split] == pytest.approx(found["full"][split], rel=1e-2)


def test_training_goes_on_from_half_precision(directory, corpus, tmp_path):
    from restore_run import restore
    from train_minutes import bring_back

    bring_back(directory, "small", tmp_path)
    collected = json.loads((tmp_path / "small.json").read_text(encoding="utf-8"))
    restored = restore(collected, "small", tmp_path, corpus.vocabulary, tmp_path / "restored")
    for ours, theirs in zip(restored.model().weights, runs.Run.open(directory).model().weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy().astype("float16").astype("float32"))
    result = runs.train(tmp_path / "next", corpus, start_from=restored.directory, epochs=1, seed=1, verbose=0)
    assert result["started_from"]["run"] == str(restored.directory)
    assert result["started_from"]["known_words"] == len(corpus.vocabulary)
    result = runs.finetune(restored.directory, tmp_path / "finetuned", epochs=1, corpus=corpus, verbose=0)
    assert result["finetuned_from"]["valid_perplexity"] == collected["valid_perplexity"]


def test_nothing_is_brought_back_of_no_epoch(directory, tmp_path, monkeypatch, capsys):
    from train_minutes import bring_back

    run = runs.Run.open(directory)
    empty = runs.Run.create(tmp_path / "run", run.config, run.vocabulary())
    assert bring_back(empty.directory, "small", tmp_path) == []
    assert "No epoch" in capsys.readouterr().err


def test_another_seed_is_another_run(monkeypatch):
    from train_minutes import parse

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["train_minutes.py", "--minutes", "1", "--out", "x", *arguments])
        options = parse()
        return options.name, options.run.name

    assert run("--backend", "jax") == ("ptb-jax-0", "ptb-jax-0")
    assert run("--seed", "3", "--preset", "tiny") == ("tiny-torch-3", "tiny-torch-3")


# Time


class Timer:
    """Replaces `threading.Timer`: the test decides when it goes off, not the clock."""

    running: ClassVar[list] = []

    def __init__(self, seconds, function, arguments):
        self.seconds, self.go_off = seconds, lambda: function(*arguments)

    def start(self):
        self.running.append(self)

    def cancel(self):
        self.running.remove(self)


def test_training_stops_in_time_and_the_next_call_resumes(tmp_path, monkeypatch, capsys):
    import train_minutes

    calls = []

    def endless(name):
        def call(directory, *_, **__):
            (timer,) = Timer.running
            calls.append((name, timer.seconds))
            directory.mkdir(exist_ok=True)
            (directory / "config.json").write_text("{}", encoding="utf-8")
            with runs.StopOnSignal():
                timer.go_off()
                raise AssertionError("trained on")

        return call

    monkeypatch.setattr(train_minutes.threading, "Timer", Timer)
    monkeypatch.setattr(runs, "train", endless("train"))
    monkeypatch.setattr(runs, "resume", endless("resume"))
    options = argparse.Namespace(run=tmp_path / "run", preset="tiny", epochs=None, seed=0, minutes=0.005)
    train_minutes.train(options, None, 0.3)
    train_minutes.train(options, None, 0.2)
    assert calls == [("train", 0.3), ("resume", 0.2)]
    assert capsys.readouterr().out.count("stopped by SIGTERM") == 2
    assert not Timer.running


def test_a_run_that_ends_by_itself_is_not_stopped_later(tmp_path, monkeypatch):
    import train_minutes

    running = []
    monkeypatch.setattr(train_minutes.threading, "Timer", Timer)
    monkeypatch.setattr(runs, "train", lambda *_, **__: running.extend(Timer.running))
    options = argparse.Namespace(run=tmp_path / "run", preset="tiny", epochs=None, seed=0, minutes=0.005)
    train_minutes.train(options, None, 0.2)
    assert len(running) == 1
    assert not Timer.running


def test_stages_are_run_once(tmp_path, monkeypatch):
    script = importlib.import_module("all")
    monkeypatch.setattr(script, "STAGES", tmp_path)
    count = f"open({str(tmp_path / 'count')!r}, 'a').write('x'); print('said')"
    for _ in range(2):
        script.run("quick", "torch", [sys.executable, "-c", count], 900)
        script.run("failing", "torch", [sys.executable, "-c", "raise SystemExit(3)"], 900)
        script.run("slow", "torch", [sys.executable, "-c", "import time; time.sleep(900)"], 1)
    assert (tmp_path / "count").read_text(encoding="utf-8") == "x"
    assert (tmp_path / "quick.log").read_text(encoding="utf-8") == "said\n"
    assert (tmp_path / "failing.status").read_text(encoding="utf-8") == "status 3\n"
    assert (tmp_path / "slow.status").read_text(encoding="utf-8") == "stopped after 1 seconds\n"


def test_training_has_a_third_of_each_call(tmp_path, monkeypatch):
    script = importlib.import_module("all")
    monkeypatch.setattr(script, "STAGES", tmp_path)
    now, begun = [0.0], []

    def run(name, backend, command, seconds):
        begun.append(name)
        # Takes nearly a third of the call, so that the next stage begins, and uses all its time.
        now[0] += seconds if len(begun) % 2 == 0 else seconds - 1

    monkeypatch.setattr(script, "run", run)
    monkeypatch.setattr(script.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(script.subprocess, "run", lambda command, **_: begun.append(command[2]))
    monkeypatch.setattr(sys, "argv", ["all.py", "--minutes", "9", "--out", str(tmp_path / "out")])
    script.main()
    seconds = 9 * 60 - script.RESERVE
    assert begun == ["tests-torch", "tests-jax", f"--minutes={(seconds / 3 + 1) / 60:.2f}"]
    assert (tmp_path / "out" / "stages.zip").is_file()


def test_what_the_stages_run_is_there(monkeypatch):
    script = importlib.import_module("all")
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    monkeypatch.setenv("JAX_DEFAULT_MATMUL_PRECISION", "tensorfloat32")
    paths = [argument for _, _, command in script.stages() for argument in command if "/" in argument]
    paths = [path for path in paths if not path.endswith(".json")]
    assert len(paths) > 10
    assert [path for path in paths if not (SCRIPTS.parents[1] / path).exists()] == []
    environment = script.environment("jax")
    assert environment["KERAS_BACKEND"] == "jax"
    assert environment["NVIDIA_TF32_OVERRIDE"] == "0"
    assert environment["JAX_DEFAULT_MATMUL_PRECISION"] == "tensorfloat32"
    assert environment["PYTHONPATH"].split(os.pathsep)[1] == str(SCRIPTS.parents[1])


def test_what_the_scripts_call_is_there(monkeypatch, tmp_path):
    """Each stage's script, and the one that trains."""
    everything = importlib.import_module("all")
    called = []
    monkeypatch.setattr(everything.subprocess, "run", lambda command, **options: called.append(command))
    monkeypatch.setattr(everything, "STAGES", tmp_path / "stages")
    monkeypatch.setattr(sys, "argv", ["all.py", "--minutes", "30", "--out", str(tmp_path), "--train-only"])
    everything.main()
    (trains,) = called
    assert Path(trains[1]).name == "train_minutes.py"
    scripts = [Path(part) for _, _, command in everything.stages() for part in command if part.endswith(".py")]
    assert all(script.is_file() for script in (Path(trains[1]), *scripts))

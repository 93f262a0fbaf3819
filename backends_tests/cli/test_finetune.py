"""`awd-keras finetune`."""

import json
import re
import shutil

import keras
import pytest

from awd_keras import cli, runs
from backends_tests.runs.small_run import OPTIONS, write_text

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A text, and a run on it."""
    folder = tmp_path_factory.mktemp("made")
    write_text(folder / "text")
    command = ["train", "--data", str(folder / "text"), "--output", str(folder / "run"), *OPTIONS, "--epochs", "1"]
    assert cli.main(command) == 0
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """A copy of the text and the run, which is the working directory."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys, *command):
    """The error line of a command with bad input."""
    assert cli.main(list(command)) == 2
    told = capsys.readouterr().err
    assert told.startswith("awd-keras: error: ")
    assert told.count("\n") == 1
    return told


def test_finetunes_and_goes_on(folder, capsys):
    assert cli.main(["finetune", "run", "--epochs", "1"]) == 0
    printed = capsys.readouterr().out
    run = runs.Run.open("run-finetuned")
    result = run.result
    old = runs.Run.open("run").result
    assert result["finetuned_from"]["run"] == "run"
    # It has no absolute path except that of the text.
    config = run.path("config.json").read_text(encoding="utf-8")
    text = json.dumps(run.setting("text")["directory"])
    assert str(folder) not in config.replace(text, "")
    for line in (
        f"fine-tuned from   run, valid perplexity {old['valid_perplexity']:.2f}",
        "epochs            1, the epoch limit",
        f"valid perplexity  {result['valid_perplexity']:.2f}",
        f"test perplexity   {result['test_perplexity']:.2f}",
        "run directory     run-finetuned",
    ):
        assert f"{line}\n" in printed
    assert "averaging  " not in printed
    # 9 rows of 6 and 9 biases; and four gates of 6 units with 6 inputs, 6 states and a bias.
    began = rf"^{keras.backend.backend()} on \S.*, 375 parameters, 9 words, 65 tokens to train on, 0 of them <unk>$"
    assert len(re.findall(began, printed, re.MULTILINE)) == 1
    # The third epoch is the first one that can end the run.
    assert cli.main(["train", "--resume", "run-finetuned", "--epochs", "9"]) == 0
    result = runs.Run.open("run-finetuned").result
    assert 3 <= result["stopped_epoch"] < 9
    assert (
        f"epochs            {result['stopped_epoch']}, until validation stopped improving\n" in capsys.readouterr().out
    )
    ends = {"run-finetuned": (result["stopped_epoch"], ""), "run": (1, "; --epochs gives it more")}
    for directory, (epoch, more) in ends.items():
        assert cli.main(["train", "--resume", directory]) == 0
        printed = capsys.readouterr().out
        assert f"The run is finished after epoch {epoch}, so there is nothing to do{more}\n" in printed
        assert "tokens to train on" not in printed


def test_bad_input(folder, capsys):
    for directory in ("nowhere", "/"):
        assert "Argument RUN must be the directory of a run" in said(capsys, "finetune", directory)
    assert "--epochs must be a positive integer" in said(capsys, "finetune", "run", "--epochs", "0")
    assert "Option --output: run already holds a run" in said(capsys, "finetune", "run", "--output", "run")
    assert "must be another directory" in said(capsys, "finetune", "run", "--output", "run", "--overwrite")
    (folder / "text" / "test.txt").write_text("a b c d\n" * 4, encoding="utf-8")
    assert "another text" in said(capsys, "finetune", "run", "--data", "text")
    (folder / "run" / "result.json").unlink()
    assert "run isn't finished" in said(capsys, "finetune", "run")
    assert not (folder / "run-finetuned").exists()


def test_every_option_reaches_finetune(folder, monkeypatch, capsys):
    called = []

    def finetune(run, output, **arguments):
        corpus = arguments.pop("corpus")
        called.append((run, str(output), corpus and corpus.digest, arguments))
        raise ValueError("enough")

    monkeypatch.setattr(runs, "finetune", finetune)
    options = ["--output", "new", "--epochs", "7", "--data", "text", "--devices", "all", "--overwrite"]
    commands = (["run"], ["run/"], ["run", *options])
    for command in commands:
        assert "enough" in said(capsys, "finetune", *command)
    monkeypatch.chdir(folder / "run")
    assert "enough" in said(capsys, "finetune", ".")
    default = {"epochs": None, "devices": None, "overwrite": False, "verbose": 2}
    digest = runs.Run.open(".").config["text_digest"]
    assert called == [
        ("run", "run-finetuned", None, default),
        ("run/", "run-finetuned", None, default),
        ("run", "new", digest, {"epochs": 7, "devices": "all", "overwrite": True, "verbose": 2}),
        (".", str(folder / "run-finetuned"), None, default),
    ]

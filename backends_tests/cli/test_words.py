"""Help and messages of the command line use the user's words. Nothing is trained here."""

import re

import numpy as np
import pytest

from awd_keras import cli
from awd_keras.cli.errors import in_options
from awd_keras.cli.options import presets
from awd_keras.cli.training_report import _averaging
from awd_keras.data import BPTTDataset, Corpus, Vocabulary
from awd_keras.runs import fitting

pytestmark = pytest.mark.once

COMMANDS = ("train", "finetune", "evaluate", "score", "generate", "next", "analyse", "verify")


def said(capsys, *arguments):
    with pytest.raises(SystemExit):
        cli.main(list(arguments))
    return capsys.readouterr()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_a_sentence_and_two_examples(command, capsys):
    text = said(capsys, command, "--help").out
    usage, description, *_ = text.split("\n\n")
    assert usage.startswith("usage:")
    assert description.rstrip().endswith(".")
    examples = re.findall(r"^  awd-keras (.*)$", text, re.MULTILINE)
    assert len(examples) == 2
    known = set(re.findall(r"--[\w-]+", usage))
    for example in examples:
        assert example.split()[0] == command
        assert set(re.findall(r" (--[\w-]+)", example)) <= known


def test_what_trains_offers_no_numpy(capsys):
    assert "numpy" not in said(capsys, "train", "--help").out
    assert "numpy" in said(capsys, "evaluate", "--help").out


def test_train_s_help_names_no_other_command(capsys):
    text = said(capsys, "train", "--help").out
    assert not re.search(r"\b(evaluate|generate|analyse|score)\b", text)


def test_help_of_train_has_what_a_preset_stands_for(capsys):
    text = said(capsys, "train", "--help").out
    _, _, table = text.partition("presets:\n")
    # Cells are separated by two spaces or more: epochs within a cell have one between them.
    names, *rows = (re.split(r"\s{2,}", line.strip()) for line in table.splitlines())
    from awd_keras.models import PRESETS

    assert names == list(PRESETS)
    cells = {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}
    for name, preset in PRESETS.items():
        assert cells["--epochs"][name] == str(preset.epochs)
        assert cells["--bptt"][name] == str(preset.bptt)
        assert cells["--unit"][name] == preset.unit
        assert cells["--learning-rate-drops"][name] == (" ".join(map(str, preset.learning_rate_drops)) or "-")
        assert cells["--weight-drop"][name] == str(preset.model["weight_drop"])
        assert cells["--learning-rate"][name] == str(preset.optimizer["learning_rate"])
        assert cells["--clip"][name] == str(preset.optimizer["global_clipnorm"])
    usage = text.partition("\n\n")[0]
    assert set(cells) <= set(re.findall(r"--[\w-]+", usage))
    assert presets()["tiny"]["--epochs"] == PRESETS["tiny"].epochs


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["train", "--output", "RUN", "--weight-dropp", "0.1"], "--weight-drop"),
        (["train", "--output", "RUN", "--learning_rate=1"], "--learning-rate"),
        (["trainn", "--output", "RUN"], "train"),
        (["verify", "--backends", "jax"], "--backend"),
    ],
)
def test_did_you_mean_this_option(arguments, meant, capsys):
    assert said(capsys, *arguments).err.endswith(f"Did you mean {meant}?\n")


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["verify", "--backend", "pytorch"], "torch"),
        (["verify", "--backend", "tf"], "tensorflow"),
        (["verify", "--backend", "Jax"], "jax"),
        (["evaluate", "RUN", "--backend", "numpi"], "numpy"),
        (["train", "--output", "RUN", "--preset", "wikitext2"], "wikitext-2"),
        (["train", "--output", "RUN", "--preset", "ptb_small"], "ptb-small"),
        (["train", "--output", "RUN", "--unit", "char"], "character"),
        (["train", "--output", "RUN", "--cell", "gruu"], "gru"),
        (["train", "--output", "RUN", "--cell", "GRU"], "gru"),
        (["train", "--output", "RUN", "--cell=-sru"], "-srnn"),
        (["train", "--output", "RUN", "--softmax", "adaptative"], "adaptive"),
        (["train", "--output", "RUN", "--optimizer", "adamw"], "adam"),
    ],
)
def test_did_you_mean_this_value(arguments, meant, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err.endswith(f"Did you mean {meant}?\n")


def test_nothing_is_meant_by_what_is_like_nothing(capsys):
    assert "Did you mean" not in said(capsys, "verify", "--zzz").err
    # Names aren't alike because of the dashes, and a word without dashes isn't an option.
    assert "Did you mean" not in said(capsys, "train", "--output", "RUN", "--nonsense").err
    assert "Did you mean" not in said(capsys, "train", "--output", "RUN", "extra").err
    assert cli.main(["verify", "--backend", "numpy"]) == 2
    assert "Did you mean" not in capsys.readouterr().err
    assert cli.main(["verify", "--backend", "zzz"]) == 2
    assert "Did you mean" not in capsys.readouterr().err


def test_an_error_of_an_argument_is_told_of_the_option():
    flags = ["--data", "--cache", "--weight-drop"]
    rate = "Argument `weight_drop` must be a number in [0, 1). Received: weight_drop=2"
    assert in_options(rate, flags) == "Option --weight-drop must be a number in [0, 1). Received: 2"
    assert in_options("Argument `path` must be a directory", flags) == "Option --data must be a directory"
    assert in_options("Argument `window` must be positive", flags) == "Option --cache must be positive"
    assert in_options("Argument `context` must be words", ["--prompt"]) == "Option --prompt must be words"
    assert in_options("Argument `words` must be known", ["--text"]) == "Option --text must be known"
    needs = "Argument `weight_drop` needs `data`, not `other`"
    assert in_options(needs, flags) == "Option --weight-drop needs --data, not `other`"
    # An argument that has no option in this command.
    assert (
        in_options("Argument `top_k` is bad. Received: top_k=0", flags) == "Argument `top_k` is bad. Received: top_k=0"
    )


def test_data_that_is_missing_is_told_of_data(tmp_path, capsys):
    missing = str(tmp_path / "missing")
    assert cli.main(["train", "--data", missing, "--output", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.startswith("awd-keras: error: Option --data must be a directory")


def test_cache_is_the_continuous_cache_alone(capsys):
    assert "Did you mean --text-cache?" in said(capsys, "train", "--output", "RUN", "--cache", "DIR").err


def test_averaging_that_has_not_begun_says_what_that_means():
    assert _averaging(None, "RUN") == (
        "not begun: validation hasn't stopped improving for long enough, so the weights are those of plain SGD; "
        "to train on: awd-keras train --resume RUN --epochs N"
    )
    assert "train --resume 'my run' --epochs N" in _averaging(None, "my run")  # as it can be pasted


@pytest.mark.parametrize(("tokens", "told"), [(20 * 70 + 1, False), (20 * 70, True)])
def test_windows_longer_than_the_rows_are_told_of(tokens, told):
    ids = np.zeros(tokens, "int32")
    corpus = Corpus(ids, ids, ids, Vocabulary(["<eos>", "<unk>"]))
    said = fitting._about(corpus, BPTTDataset(ids, batch_size=20, bptt=70))
    assert ("Windows of `bptt=70` tokens are longer than the text's 20 rows of 69" in said) == told


def test_a_directory_that_holds_a_run_is_told_of_in_one_short_line(tmp_path, capsys):
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    assert cli.main(["train", "--output", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert len(told) - len(str(tmp_path)) < 120
    assert "--overwrite" in told

"""Runs whose numbers overflow: no NaN gets into a file, and the run can be resumed."""

import json
import math
import re

import numpy as np
import pytest
from keras import ops

from awd_keras import cli, data, models, runs
from backends_tests.runs.small_run import arrays

# An epoch has two windows, of 5 and 11 tokens or of 11 and 5, as JAX compiles each length. With JAX's default
# `length_multiple`, the text would begin at another place in each epoch.
OPTIONS = [
    *("--embedding-dim", "6", "--hidden-units", "8", "--num-layers", "1", "--batch-size", "4", "--bptt", "10"),
    *("--learning-rate", "2", "--seed", "410", "--length-multiple", "1"),
]
ROW = 16


@pytest.fixture
def text(tmp_path):
    rng = np.random.default_rng(1)
    directory = tmp_path / "text"
    directory.mkdir()
    for split, size in (("train", 4 * ROW), ("valid", 100), ("test", 20)):
        words = rng.choice(list("abcdefg"), size=size)
        if split == "train":
            # Near the end of the second row, which is always in the second window.
            words[ROW + 13] = "z"
        (directory / f"{split}.txt").write_text(" ".join(words) + "\n", encoding="utf-8")
    return directory


@pytest.fixture
def z_overflows(monkeypatch, text):
    """Makes the model give NaN in training for every window with the word z."""
    z = data.Corpus.from_directory(text).vocabulary["z"]
    call = models.AWDLSTM.call

    def overflow(self, inputs, training=False):
        logits = call(self, inputs, training=training)
        return logits * ops.where(ops.any(ops.equal(inputs, z)), math.nan, 1.0) if training else logits

    def patch():
        monkeypatch.setattr(models.AWDLSTM, "call", overflow)
        monkeypatch.setattr(models.AWDLSTM, "prefers_deferred_logits", False)

    return patch


def train(*arguments):
    return cli.main(["train", *map(str, arguments)])


def has_nan(directory):
    """Whether a file of a run has NaN in weights, averages or anything else that is saved."""
    files = list(directory.glob("*.keras"))
    assert files
    return any(np.isnan(array).any() for path in files for array in arrays(path).values())


def test_stops_then_goes_on_without_such_steps(tmp_path, text, z_overflows, capsys):
    run = tmp_path / "run"
    assert train("--data", text, "--output", run, "--epochs", "2", *OPTIONS) == 0
    printed = capsys.readouterr().out
    assert "averaging         not begun: validation hasn't stopped improving" in printed
    assert "skipped steps     0\n" in printed
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.name not in ("config.json", "result.json")}

    z_overflows()
    assert train("--resume", run, "--epochs", "4") == 2
    said = capsys.readouterr().err
    assert re.fullmatch(
        r"awd-keras: error: In epoch 3, step 2 \(a window of (5|11) tokens, from token (6|12) of each row on\), "
        r"the loss is nan and the gradients aren't finite\. The last good checkpoint is .*run/checkpoint-2\.keras\. "
        r"To leave such steps out: awd-keras train --resume .*run --skip-nonfinite\n",
        said,
    )
    assert {name: (run / name).read_bytes() for name in before} == before

    assert train("--resume", run, "--skip-nonfinite") == 0
    assert "skipped steps     2\n" in capsys.readouterr().out
    lines = runs.Run.open(run).metrics()
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    # The perplexity is that of the windows without z, and near the one before.
    assert all(line["train_perplexity"] < 1.5 * lines[1]["train_perplexity"] for line in lines[2:])
    assert json.loads((run / "result.json").read_text(encoding="utf-8"))["skipped_steps"] == 2
    assert not has_nan(run)


@pytest.mark.once
def test_the_count_survives_an_interruption(tmp_path, text, z_overflows):
    z_overflows()
    corpus = data.Corpus.from_directory(text)
    settings = {
        "model": {"embedding_dim": 6, "hidden_units": 8, "num_layers": 1},
        "optimizer": {"learning_rate": 2.0},
        "batch_size": 4,
        "bptt": 10,
        "seed": 410,
        "length_multiple": 1,
        "verbose": 0,
    }
    run = tmp_path / "run"
    assert runs.train(run, corpus, epochs=1, skip_nonfinite=True, **settings)["skipped_steps"] == 1
    assert runs.resume(run, epochs=3, skip_nonfinite=True, verbose=0)["skipped_steps"] == 3


@pytest.mark.once
@pytest.mark.parametrize("skip", [[], ["--skip-nonfinite"]])
def test_a_learning_rate_that_is_far_too_large(tmp_path, text, capsys, skip):
    run = tmp_path / "run"
    options = ["--data", text, "--output", run, "--epochs", "4", *OPTIONS, "--learning-rate", "1e38", *skip]
    assert train(*options) == 2
    said = capsys.readouterr().err
    assert said.startswith("awd-keras: error: In ")
    assert said.count("\n") == 1
    assert f"The last good checkpoint is {run}" in said
    assert said.endswith(".keras.\n" if skip else "--skip-nonfinite\n")
    # No file of the epoch was written.
    assert [path.name for path in runs.Checkpoints(run).paths()] == ["checkpoint-0.keras"]
    assert not (run / "model.keras").exists()
    assert not has_nan(run)


@pytest.mark.once
def test_skip_nonfinite_is_a_boolean(tmp_path, text):
    with pytest.raises(ValueError, match="`skip_nonfinite` must be a boolean"):
        runs.train(tmp_path / "run", data.Corpus.from_directory(text), skip_nonfinite="no")
    assert not (tmp_path / "run").exists()


@pytest.mark.once
def test_mixed_precision(tmp_path, text):
    # Keras then wraps the optimizer, and leaves steps out to find a scale for the loss, which is no fault.
    corpus = data.Corpus.from_directory(text)
    model = {"embedding_dim": 6, "hidden_units": 8, "num_layers": 1, "dtype": "mixed_float16"}
    result = runs.train(tmp_path / "run", corpus, model=model, epochs=1, batch_size=4, bptt=10, seed=410, verbose=0)
    assert result["skipped_steps"] == 0
    assert "optimizer/inner_optimizer/vars/0" in arrays(tmp_path / "run" / "checkpoint-1.keras")

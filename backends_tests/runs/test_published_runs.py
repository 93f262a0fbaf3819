"""`awd-keras train --preset NAME`, without other options, is the published run, from windows to epochs."""

import importlib
import json

import pytest

from awd_keras.cli import main

pytestmark = pytest.mark.once

# The commands in the README of the original code, and the defaults of the other options.
SHARED = {
    "model": {
        "embedding_dim": 400,
        "hidden_units": 1150,
        "num_layers": 3,
        "output_dropout": 0.4,
        "embedding_dropout": 0.1,
        "weight_drop": 0.5,
        "alpha": 2.0,
        "beta": 1.0,
    },
    "optimizer": {
        "learning_rate": 30.0,
        "weight_decay": 1.2e-6,
        "global_clipnorm": 0.25,
        "clipnorm": None,
        "clipvalue": None,
        "non_monotone_interval": 5,
    },
    "bptt": 70,
    "skip_nonfinite": False,
}
PUBLISHED = {
    "ptb": {"batch_size": 20, "epochs": 500, "model": {"input_dropout": 0.4, "hidden_dropout": 0.25}},
    "wikitext-2": {"batch_size": 80, "epochs": 750, "model": {"input_dropout": 0.65, "hidden_dropout": 0.2}},
}


@pytest.mark.parametrize("preset", PUBLISHED)
def test_a_preset_is_the_published_run(preset, tmp_path, monkeypatch):
    # config.json has all settings of the training by now.
    result = {"backend": "-", "triggered_epoch": None, "skipped_steps": 0, "tokens_per_second": 1.0}
    result |= {"valid_perplexity": 1.0, "test_perplexity": 1.0}
    monkeypatch.setattr(importlib.import_module("awd_keras.runs.training"), "finish", lambda run, *_, **__: result)
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.txt").write_text("the same four words\n" * 40, encoding="utf-8")
    options = ["--preset", preset, "--data", str(tmp_path), "--output", str(tmp_path / "run")]
    assert main(["train", *options]) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    published = PUBLISHED[preset]
    model = {**SHARED["model"], **published["model"]}
    assert {name: config["model"][name] for name in model} == model
    assert {name: config["optimizer"][name] for name in SHARED["optimizer"]} == SHARED["optimizer"]
    for name in ("batch_size", "epochs"):
        assert config[name] == published[name]
    for name in ("bptt", "skip_nonfinite"):
        assert config[name] == SHARED[name]
    assert config["preset"] == preset

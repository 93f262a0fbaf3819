"""Writes saved/BACKEND, a run after 3 of 5 epochs, for the backend of KERAS_BACKEND; see test_other_backend.py."""

import shutil
from pathlib import Path

import keras

from awd_keras import runs
from backends_tests.runs.small_run import SETTINGS, make_corpus

# Without masks, which would differ between backends.
NO_MASKS = dict.fromkeys(("input_dropout", "hidden_dropout", "output_dropout", "embedding_dropout", "weight_drop"), 0.0)

directory = Path(__file__).parent / "saved" / keras.backend.backend()
shutil.rmtree(directory, ignore_errors=True)
model = {**SETTINGS["model"], **NO_MASKS}
assert runs.train(directory, make_corpus(), **{**SETTINGS, "model": model, "epochs": 3})["triggered_epoch"] == 3
run = runs.Run.open(directory)
run.write_config({**run.config, "epochs": 5})
for name in ("model.keras", "checkpoint-2.keras", "curve.png", "result.json"):
    run.path(name).unlink()

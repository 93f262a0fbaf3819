"""The examples run, each as its reader would run it, as short as it can be."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from backends_tests.helpers import once

# As in pyproject.toml, whose filters a process of its own doesn't see.
NUMPY_ON_TORCH = "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
EXAMPLES = Path(__file__).parents[1] / "examples"
# What an example is given to be short, and what it must print.
EXPECTED = {
    "language_model": (["1"], ["test perplexity", "The value of"]),
    # test_against_keras.py runs it on a small text.
    "against_keras": (["--help"], ["validation alone"]),
    # test_ablation.py runs what it does.
    "ablation": (["--help"], ["Table 4", "--finetune-epochs"]),
    # test_ablated_cells.py, too.
    "ablated_cells": (["--help"], ["-srnn-hidden", "the same command continues"]),
    "functional_model": (["1"], ["test accuracy", "says the same"]),
    # test_text_classification.py runs it on a few words.
    "text_classification": (["--help"], ["pip install --no-deps pyspellchecker"]),
    # test_tunes.py runs it on a few tunes.
    "tunes": (["--help"], ["pip install --no-deps music21"]),
    "custom_training_torch": (["1"], ["test perplexity"]),
    "custom_training_jax": (["1"], ["test perplexity"]),
    "custom_training_tensorflow": (["1"], ["test perplexity"]),
    "several_devices_torch": (["1"], ["1 devices, valid perplexity"]),
    "several_devices_jax": (["1"], ["2 devices, valid perplexity"]),
    "several_devices_tensorflow": (["1"], ["1 devices, valid perplexity"]),
}
# What `torchrun` gives the first of one process, and two devices of JAX.
ONE_PROCESS = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}
XLA_FLAGS = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2".lstrip()
DEVICES = {**ONE_PROCESS, "XLA_FLAGS": XLA_FLAGS}
# A loop in a framework's own terms chooses that framework itself, whatever Keras would take.
ENVIRONMENTS = {"several_devices": DEVICES, "custom_training": {"KERAS_BACKEND": "none"}}
# A loop in a framework's own terms is for that backend alone. Of the others some run on one every day, and once a week
# what is long or has a test of its own.
OF_THIS = f"custom_training_{keras.backend.backend()}"
ONCE = ("functional_model", "language_model")
OTHERS = [
    name
    for name in EXPECTED
    if name not in ONCE
    and not name.startswith("custom_")
    and ("_devices_" not in name or name.endswith(keras.backend.backend()))
]


@pytest.mark.parametrize(
    "name", [OF_THIS, *once(*ONCE), *(pytest.param(name, marks=pytest.mark.thorough) for name in OTHERS)]
)
def test_example(name, tmp_path):
    arguments, printed = EXPECTED[name]
    run = subprocess.run(
        [sys.executable, "-W", "error", "-W", NUMPY_ON_TORCH, str(EXAMPLES / f"{name}.py"), *arguments],
        env={**os.environ, **ENVIRONMENTS.get(name.rpartition("_")[0], {}), "PYTHONPATH": str(EXAMPLES.parent)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    for text in printed:
        assert text in run.stdout


def test_every_example_is_run():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(EXPECTED)

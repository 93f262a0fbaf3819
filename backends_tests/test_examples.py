"""The examples run, each as a reader would run it, but as short as possible."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from backends_tests.helpers import once

# As in pyproject.toml, whose filters don't apply to another process.
NUMPY_ON_TORCH = "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
EXAMPLES = Path(__file__).parents[1] / "examples"
# The arguments that make each example short, and what it must print.
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
# The variables that `torchrun` sets for a single process, and two devices for JAX.
ONE_PROCESS = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}
XLA_FLAGS = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2".lstrip()
DEVICES = {**ONE_PROCESS, "XLA_FLAGS": XLA_FLAGS}
# An example with a framework's own training loop chooses that framework, whatever KERAS_BACKEND is.
ENVIRONMENTS = {"several_devices": DEVICES, "custom_training": {"KERAS_BACKEND": "none"}}
# A framework's own training loop runs only on that backend. Some other examples run daily on one backend. Long ones,
# and those with tests of their own, run once a week.
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

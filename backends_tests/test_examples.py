"""The examples run, each as its reader would run it, for one epoch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# As in pyproject.toml, whose filters a process of its own doesn't see.
NUMPY_ON_TORCH = "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("example", [pytest.param(path, id=path.stem) for path in EXAMPLES])
def test_example(example):
    root = str(example.parents[1])
    run = subprocess.run(
        [sys.executable, "-W", "error", "-W", NUMPY_ON_TORCH, str(example), "1"],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "test perplexity" in run.stdout
    assert "The value of" in run.stdout


def test_there_is_an_example():
    assert EXAMPLES

"""A run that was interrupted on one backend is resumed on another, with the results of NumPy on each."""

import shutil

import keras
import numpy as np
import pytest

from awd_keras import runs
from backends_tests.helpers import once
from backends_tests.runs.numpy_run import SAVED, go_on, optimizer_variables
from backends_tests.runs.small_run import make_corpus


@pytest.mark.parametrize("saved_by", ["torch", *once("jax", "tensorflow")])
def test_goes_on_as_numpy_says(tmp_path, saved_by):
    directory = tmp_path / "run"
    shutil.copytree(SAVED / saved_by, directory)
    # Any model works: the best one was from an earlier epoch, and isn't needed here.
    shutil.copy(directory / "checkpoint-3.keras", directory / "model.keras")
    corpus = make_corpus()
    run = runs.Run.open(directory)
    config, lines = run.config, run.metrics()
    assert config["backend"] == saved_by
    before = optimizer_variables(directory, 3)
    assert before["num_averaged"] == 1

    result = runs.resume(directory, corpus, verbose=0)
    after = optimizer_variables(directory, 5)
    weights, averages, count, perplexities = go_on(
        before["iterates"], before["averages"], before["num_averaged"], (3, 4), config, corpus
    )
    assert result["triggered_epoch"] == 3
    assert result["backend"] == keras.backend.backend()
    assert after["num_averaged"] == count == 5
    assert after["iterations"] == before["iterations"] + 4
    for name, expected in (("iterates", weights), ("averages", averages)):
        for mine, its in zip(after[name], expected, strict=True):
            np.testing.assert_allclose(mine, its, rtol=0, atol=1e-5)
    new = run.metrics()
    assert new[:3] == lines
    for line, (train, valid) in zip(new[3:], perplexities, strict=True):
        assert line["train_perplexity"] == pytest.approx(train, rel=1e-5)
        assert line["valid_perplexity"] == pytest.approx(valid, rel=1e-5)
        assert line["averaging"] is True
    # The trigger's log. The interval is 1, so the last measure is kept, and the best of all earlier ones.
    measures = [line["valid_perplexity"] for line in new]
    assert after["measures"] == pytest.approx([measures[-1], min(measures[:-1])], rel=1e-6)

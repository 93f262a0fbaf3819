import math

import numpy as np
import pytest

from awd_keras.evaluation import Score, Trial, cache_perplexity, dynamic_perplexity, tune_cache, tune_dynamic
from awd_keras.evaluation.perplexity import best_first
from backends_tests.evaluation.small_model import make_model, make_text, values

pytestmark = pytest.mark.once

GRID = {"windows": (10, 40), "interpolations": (0.0, 0.2, 0.5), "thetas": (0.5,)}


@pytest.mark.parametrize("wait_until_full", [False, True])
def test_each_trial_of_a_cache_is_its_score(wait_until_full):
    model, text = make_model(), make_text(61)
    trials = tune_cache(model, text, **GRID, wait_until_full=wait_until_full, bptt=20)
    assert len(trials) == 6
    assert [trial.score.loss for trial in trials] == sorted(trial.score.loss for trial in trials)
    settings = [(window, share, 0.5) for window in (10, 40) for share in (0.0, 0.2, 0.5)]
    assert sorted(tuple(trial.settings.values()) for trial in trials) == settings
    for trial in (trials[0], trials[-1]):
        expected = cache_perplexity(model, text, **trial.settings, wait_until_full=wait_until_full, bptt=20)
        assert trial.score.loss == pytest.approx(expected.loss, rel=1e-6)
        assert trial.score.tokens == 60


def test_each_trial_of_dynamic_evaluation_is_its_score():
    model, text = make_model(), make_text(41)
    rms = [np.ones_like(value) for value in values(model.trainable_variables)]
    rates = (0.0, 0.1, 0.2)
    trials = tune_dynamic(model, text, rates, (0.01,), rms=rms, epsilon=1e-3)
    assert sorted(trial.settings["learning_rate"] for trial in trials) == list(rates)
    assert [trial.score.loss for trial in trials] == sorted(trial.score.loss for trial in trials)
    assert trials[-1].score.loss - trials[0].score.loss > 1e-2
    expected = dynamic_perplexity(model, text, **trials[0].settings, rms=rms, epsilon=1e-3)
    assert trials[0].score.loss == pytest.approx(expected.loss, rel=1e-6)


def test_the_progress_is_shown(capsys):
    tune_cache(make_model(), make_text(21), **GRID, bptt=20)
    assert capsys.readouterr().out == ""
    tune_cache(make_model(), make_text(21), **GRID, bptt=20, verbose=1)
    assert "2/2" in capsys.readouterr().out


def test_what_diverged_comes_last():
    losses = (math.nan, 2.0, math.inf, 1.0)
    trials = best_first([Trial({}, Score.of(loss, 10, 1.0)) for loss in losses])
    assert [trial.score.loss for trial in trials[:2]] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"windows": ()}, r"`windows` must hold at least one value. Received: windows=\(\)"),
        ({"windows": (10, 0)}, "`windows` must be a positive integer. Received: windows=0"),
        ({"interpolations": (1.5,)}, r"`interpolations` must be a number in \[0, 1\)"),
        ({"thetas": (-1,)}, "`thetas` must be a number of at least 0"),
        ({"wait_until_full": None}, "`wait_until_full` must be a boolean"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        tune_cache(make_model(), make_text(9), **arguments)


@pytest.mark.parametrize("name", ["learning_rates", "decays"])
def test_bad_arguments_of_dynamic_evaluation(name):
    with pytest.raises(ValueError, match=f"`{name}` must hold at least one value"):
        tune_dynamic(make_model(), make_text(9), **{name: []}, rms=[])
    with pytest.raises(ValueError, match=f"`{name}` must be a number of at least 0. Received: {name}=-1"):
        tune_dynamic(make_model(), make_text(9), **{name: [-1]}, rms=[])

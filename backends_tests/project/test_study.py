"""The protocol of `experiments/study.py`: equal trials, chosen by validation, the test read only at the end."""

import importlib
import json
from pathlib import Path

import pytest


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "experiments"))
    return importlib.import_module("study")


def made_up(study, asked):
    """A contender whose validation is best at 0.5, and that notes what it is asked to do."""

    def run(settings, seed, tested):
        asked.append((seed, tested))
        error = abs(settings["rate"] - 0.5)
        return {"valid": error, **({"test": error + seed} if tested else {})}

    return study.Contender("made-up", {"rate": study.uniform(0, 1)}, run)


def test_the_best_trial_is_trained_anew_and_tested(study, tmp_path):
    asked = []
    contender = made_up(study, asked)
    settings = study.search(tmp_path, contender, 6)
    drawn = [study.settings_of(contender, number)["rate"] for number in range(6)]
    assert len(set(drawn)) == 6
    assert settings == {"rate": min(drawn, key=lambda rate: abs(rate - 0.5))}
    assert not any(tested for _, tested in asked)
    study.final(tmp_path, contender, settings, [0, 1])
    assert asked[6:] == [(0, True), (1, True)]
    assert {seed: run["test"] - run["valid"] for seed, run in study.finals(tmp_path, "made-up").items()} == {0: 0, 1: 1}
    # What has been run isn't run again.
    assert study.search(tmp_path, contender, 6) == settings
    study.final(tmp_path, contender, settings, [0, 1])
    assert len(asked) == 8


def test_nothing_is_chosen_before_all_trials_are_run(study, tmp_path):
    contender = made_up(study, [])
    study.search(tmp_path, contender, 2)
    assert study.chosen(tmp_path, contender, 3) is None


def test_a_training_that_diverged_is_never_chosen(study, tmp_path):
    contender = study.Contender("diverged", {"rate": study.choice(1, 2)}, lambda *_: {"valid": float("nan")})
    study.search(tmp_path, contender, 1)
    assert json.loads((tmp_path / "diverged" / "trial-00.json").read_text(encoding="utf-8"))["valid"] == 1e9


def test_runs_with_other_settings_are_refused(study, tmp_path):
    contender = made_up(study, [])
    study.final(tmp_path, contender, {"rate": 0.1}, [0])
    with pytest.raises(ValueError, match="other settings"):
        study.final(tmp_path, contender, {"rate": 0.2}, [0])

"""The protocol of `experiments/study.py`: equal numbers of trials, choice by validation, tests only at the end."""

import importlib
import json
from pathlib import Path

import pytest


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "experiments"))
    return importlib.import_module("study")


def made_up(study, asked):
    """A contender whose validation is best at 0.5, and that records its calls in `asked`."""

    def run(settings, seed, epochs, tested):
        asked.append((seed, epochs, tested))
        error = abs(settings["rate"] - 0.5)
        return {"valid": error, **({"test": error + seed} if tested else {})}

    return study.Contender("made-up", {"rate": 0.9}, {"rate": study.uniform(0, 1)}, run, epochs=50)


def test_the_best_trial_is_trained_anew_and_tested(study, tmp_path):
    asked = []
    contender = made_up(study, asked)
    settings = study.search(tmp_path, contender, 6)
    drawn = [study.settings_of(contender, number)["rate"] for number in range(6)]
    assert len(set(drawn)) == 6
    assert drawn[0] == 0.9
    assert settings == {"rate": min(drawn, key=lambda rate: abs(rate - 0.5))}
    assert asked == [(1000 + number, 50, False) for number in range(6)]
    study.final(tmp_path, contender, settings, [0, 1])
    assert asked[6:] == [(0, 50, True), (1, 50, True)]
    assert {seed: run["test"] - run["valid"] for seed, run in study.finals(tmp_path, "made-up").items()} == {0: 0, 1: 1}
    # Finished trials aren't run again.
    assert study.search(tmp_path, contender, 6) == settings
    study.final(tmp_path, contender, settings, [0, 1])
    assert len(asked) == 8


def test_the_best_short_trials_are_trained_anew_to_the_end(study, tmp_path):
    asked = []

    def run(settings, seed, epochs, tested):
        asked.append((settings, seed, epochs))
        # The best settings after 3 epochs are the worst at the end.
        return {"valid": settings["rate"] if epochs == 3 else -settings["rate"]}

    contender = study.Contender("made-up", {"rate": 0.9}, {"rate": study.uniform(0, 1)}, run, epochs=50)
    settings = study.search(tmp_path, contender, 6, short=3, kept=2)
    drawn = [study.settings_of(contender, number) for number in range(6)]
    order = sorted(range(6), key=lambda number: drawn[number]["rate"])
    assert asked[:6] == [(drawn[number], 1000 + number, 3) for number in range(6)]
    assert asked[6:] == [(drawn[number], 2000 + number, 50) for number in order[:2]]
    assert settings == drawn[order[1]]


def test_a_training_that_diverged_is_never_chosen(study, tmp_path):
    contender = study.Contender(
        "diverged", {"rate": 3}, {"rate": study.choice(1, 2)}, lambda *_: {"valid": float("nan")}, 50
    )
    study.search(tmp_path, contender, 1)
    assert json.loads((tmp_path / "diverged" / "trial-00.json").read_text(encoding="utf-8"))["valid"] == 1e9


def test_a_finished_study_is_one_file(study, tmp_path):
    contender = made_up(study, [])
    study.final(tmp_path / "one", contender, study.search(tmp_path / "one", contender, 2), [3])
    study.pack(tmp_path / "one", ["made-up"])
    runs = json.loads((tmp_path / "one.json").read_text(encoding="utf-8"))["made-up"]
    assert list(runs) == ["seed-3", "trial-00", "trial-01"]
    assert runs["seed-3"] == study.finals(tmp_path / "one", "made-up")[3]


def test_a_dot_in_a_name_is_kept(study, tmp_path):
    """`with_suffix` would give cells.v1 and cells.v2 the same file."""
    study.final(tmp_path / "cells.v1", made_up(study, []), {"rate": 0.5}, [0])
    study.pack(tmp_path / "cells.v1", ["made-up"])
    assert (tmp_path / "cells.v1.json").is_file()


def test_tables_of_studies_that_have_not_run_all(study, tmp_path):
    """Without the model that the others are compared with, there is no comparison."""
    run = {"test": 0.5, "valid": 0.5, "best_epoch": 1, "curves": {"train": [1.0], "valid": [1.0]}}
    run |= {"weights": 9, "settings": {"learning_rate": 1.0}}
    for name in ("gru", "weight-drop"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        for seed in range(4):
            study.write_json(tmp_path / "runs" / name / f"seed-{seed}.json", run)
    sequences, cells, parts = map(importlib.import_module, ("sequences", "four_cells", "without_a_part"))
    name, kind = next(iter(sequences.DATA)), next(kind for kind in sequences.SPACES if kind != "keras")
    every = {each: {"seed-0": run} if each == kind else {} for each in sequences.SPACES}
    (tmp_path / "sequences").mkdir()
    study.write_json(tmp_path / "sequences" / f"{name}.json", every)
    assert "(0.5 to 0.5) |  |  |" in sequences.report(tmp_path / "sequences").replace("0.500", "0.5")
    assert cells.report(tmp_path / "runs").splitlines()[-1].endswith("| 0.5 (0.5 to 0.5) |  |")
    assert "| weight-drop | 4 | 1.0 (1.0 to 1.0) | 0.5 (0.5 to 0.5) |  |  |" in parts.report(tmp_path / "runs")


def test_the_page_of_sequences_has_the_tables_of_the_files(study):
    sequences = importlib.import_module("sequences")
    results = Path(__file__).parents[2] / "docs" / "results"
    tables = sequences.report(results / "sequences")
    assert (
        tables.count("| `WeightDropLSTM` |") == len(list((results / "sequences").glob("*.json"))) == len(sequences.DATA)
    )
    assert tables in (results / "sequences.md").read_text(encoding="utf-8")


def test_chance(study):
    # Of the 20 ways to divide six numbers, this one and its mirror image are as far apart.
    assert study.chance([1.0, 2.0, 3.0], [10.0, 11.0, 12.0]) == 2 / 20
    assert study.chance([1.0, 2.0], [2.0, 1.0]) == 1
    assert study.spread([1.0, 2.0, 4.5]) == "2.5 (1.0 to 4.5)"
    assert study.spread([0.25, 0.75], 2) == "0.50 (0.25 to 0.75)"


def test_runs_with_other_settings_are_refused(study, tmp_path):
    contender = made_up(study, [])
    study.final(tmp_path, contender, {"rate": 0.1}, [0])
    with pytest.raises(ValueError, match="other settings"):
        study.final(tmp_path, contender, {"rate": 0.2}, [0])

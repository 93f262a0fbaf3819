"""The functions of experiments/deviations.py, whose results are in docs/paper_map.md, are right."""

import importlib
import json
import math
from pathlib import Path

import numpy as np
import pytest

from awd_keras.data import BPTTDataset
from awd_keras.models import PRESETS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def deviations(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    return importlib.import_module("deviations")


def test_lengths_that_were_drawn_are_those_of_the_dataset(deviations):
    # In a text of many windows, each length changes by at most one token. Lengths of another draw would rarely be so
    # close.
    dataset = BPTTDataset(np.zeros(400_001, "int32"), 20, length_multiple=1, seed=7)
    for epoch in range(3):
        change = np.abs(dataset.window_lengths(epoch) - deviations.drawn(dataset, epoch))
        assert change.max() <= 2
        assert dataset.window_lengths(epoch).sum() == 20_000
    assert deviations.made_to_fit(dataset, 3)["by at most"] <= 2
    assert deviations.capped(dataset, 3)["of"] == 3 * len(dataset)


def test_the_original_s_windows(deviations):
    preset = PRESETS["ptb"]
    lengths = np.concatenate([deviations.original_lengths(200_000, preset, epoch) for epoch in range(20)])
    rows = 200_000 // 20
    for epoch in range(20):
        assert deviations.original_lengths(200_000, preset, epoch).sum() in (rows - 1, rows - 2)
    # The mean is half a token less than with N(70, 5) and N(35, 5), as lengths are truncated.
    assert lengths.mean() == pytest.approx(0.95 * 70 + 0.05 * 35 - 0.5, abs=0.6)


def test_the_original_s_count_of_tokens(deviations):
    losses = np.array([1.0, 2.0, 6.0])  # a row of four tokens
    found = deviations.original_count(4, 1, math.exp(losses.sum() / 4))
    assert found["exact"] == pytest.approx(math.exp(losses.mean()), abs=1e-4)


def test_rates_of_the_window_before(deviations):
    # Factors 2, 1 and 1.25.
    assert deviations.late(np.array([70, 35, 35, 28])) == {"median factor": 1.25, "factors of 1.5 or more": 0.333}


def test_asgd_is_a_step_late(deviations):
    assert deviations.asgd_steps_with([5.0, 3.0, 8.0]) == [5.0, 5.0, 3.0]


def test_the_figures_on_the_page_are_those_that_were_counted():
    page = (ROOT / "docs" / "paper_map.md").read_text(encoding="utf-8")
    figures = json.loads((ROOT / "docs" / "results" / "deviations" / "counted.json").read_text(encoding="utf-8"))
    for text in ("ptb", "wikitext-2"):
        counted = figures[text]
        ours, few = counted["windows, ours"], counted["windows, ours with length_multiple=7"]
        assert f"{ours['an epoch']:.0f}" in page
        assert f"{few['mean length']:.2f}" in page
        assert (
            f"{counted['lengths changed by the cap']['capped']} of {counted['lengths changed by the cap']['of']:,}"
            in page
        )
        assert f"{counted['lengths changed for a constant number of windows']['share']:.0%}" in page
        assert f"a factor of {counted['rates a window late']['median factor']:.2f} in the median" in page
        assert f"{counted['rates a window late']['factors of 1.5 or more']:.0%} of steps" in page
        for score in counted["perplexity, valid and test"]:
            assert f"{score['exact']:.3f}" in page
        for count in (
            *counted["parameters, with one bias and two"],
            *counted["training targets, the original's and ours"],
        ):
            assert f"{count:,}" in page

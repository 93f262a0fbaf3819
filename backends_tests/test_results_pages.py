"""The tables of trained perplexities are those of the files beside them; docs/performance.md has a test of its own."""

import json
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
CURVES, PRECISION = (
    json.loads((DOCS / "results" / name).read_text(encoding="utf-8"))
    for name in ("learning_curves/ptb.json", "precision/ptb.json")
)


def rows_of(page):
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines if line.startswith("| ")]


def shown(perplexities):
    return [f"{perplexity:.1f}" for perplexity in perplexities]


RUNS = [(subject, seed) for subject, seeds in CURVES["valid_perplexity"].items() for seed in seeds]


@pytest.mark.parametrize(("subject", "seed"), RUNS)
def test_learning_curves(subject, seed):
    figures = shown(CURVES["valid_perplexity"][subject][seed])
    assert [subject, seed, *figures] in [row[:6] for row in rows_of("results/learning_curves.md")]


@pytest.mark.parametrize("question", CURVES["spread"][0])
def test_how_far_apart_the_backends_are(question):
    figures = [f"{epoch[question]:.1%}" for epoch in CURVES["spread"]]
    assert [question, *figures] in rows_of("results/learning_curves.md")


TRAINED = [(backend, policy) for backend, runs in PRECISION["valid_perplexity"].items() for policy in runs]


@pytest.mark.parametrize(("backend", "policy"), TRAINED)
def test_precision(backend, policy):
    runs = PRECISION["valid_perplexity"][backend]
    last = "" if policy == "float32" else f"{runs[policy][-1] / runs['float32'][-1] - 1:+.1%}"
    (row,) = [row for row in rows_of("guides/precision.md") if row[:2] == [backend, policy]]
    assert row[2:6] == shown(runs[policy])
    assert row[7:] == ([last] if last else [])

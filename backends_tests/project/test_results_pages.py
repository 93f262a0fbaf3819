"""The tables of trained perplexities are those of the files beside them; docs/performance.md has a test of its own."""

import json
from pathlib import Path

import pytest

from backends_tests.tables import rows_of

DOCS = Path(__file__).parents[2] / "docs"
PTB, WIKITEXT_2, PRECISION, ABLATION = (
    json.loads((DOCS / "results" / f"{name}.json").read_text(encoding="utf-8"))
    for name in ("learning_curves/ptb", "learning_curves/wikitext-2", "precision/ptb", "ablation/ablation")
)


def on_page(page):
    return rows_of((DOCS / page).read_text(encoding="utf-8"))


def shown(perplexities):
    return [f"{perplexity:.1f}" for perplexity in perplexities]


RUNS = [
    (subject, seed, shown(curves["valid_perplexity"][subject][seed]), shown(perplexities[-1:]))
    for curves in (PTB, WIKITEXT_2)
    for subject, seeds in curves["train_perplexity"].items()
    for seed, perplexities in seeds.items()
]
SPREADS = [
    [question, *(f"{epoch[question]:.1%}" for epoch in spread)]
    for curves in (PTB, WIKITEXT_2)
    for spread in curves["spread"].values()
    for question in spread[0]
]


@pytest.mark.parametrize(("subject", "seed", "valid", "training"), RUNS)
def test_learning_curves(subject, seed, valid, training):
    assert [subject, seed, *valid, *training] in on_page("results/learning_curves.md")


@pytest.mark.parametrize("row", SPREADS)
def test_how_far_apart_the_backends_are(row):
    assert row in on_page("results/learning_curves.md")


TRAINED = [(backend, policy) for backend, runs in PRECISION["valid_perplexity"].items() for policy in runs]


@pytest.mark.parametrize(("backend", "policy"), TRAINED)
def test_precision(backend, policy):
    runs = PRECISION["valid_perplexity"][backend]
    last = "" if policy == "float32" else f"{runs[policy][-1] / runs['float32'][-1] - 1:+.1%}"
    (row,) = [row for row in on_page("guides/precision.md") if row[:2] == [backend, policy]]
    assert row[2:6] == shown(runs[policy])
    assert row[7:] == ([last] if last else [])


def test_ablation():
    """The page has the rows in the file's order, under names that read better."""
    heading, _, *rows = on_page("results/ablation.md")
    splits = ("valid_perplexity", "test_perplexity")
    assert heading[1:5] == ["valid", "test", "valid, change", "test, change"]
    for on_the_page, row in zip(rows, ABLATION["rows"], strict=True):
        changes = [f"{row[f'{split}_change'][0]:+.1f}".replace("+0.0", "0.0") for split in splits]
        changes = ["", ""] if row["variant"] == "full" else changes
        assert on_the_page[1:5] == [*(f"{row[split][0]:.1f}" for split in splits), *changes]
        assert on_the_page[6] == ", ".join(str(epoch or "never") for epoch in row["averaged_from"])


OVERFITTING = json.loads((DOCS / "results/overfitting/overfitting.json").read_text(encoding="utf-8"))["runs"]


@pytest.mark.parametrize("model", OVERFITTING)
def test_overfitting(model):
    """Means over the seeds."""
    runs = OVERFITTING[model]

    def mean(figure, form):
        return format(sum(map(figure, runs)) / len(runs), form)

    assert [
        model,
        mean(lambda run: run["train_accuracy"], ".0%"),
        mean(lambda run: run["test_accuracy"], ".0%"),
        mean(lambda run: min(run["valid_loss"]), ".2f"),
        mean(lambda run: run["valid_loss"][-1], ".2f"),
    ] in on_page("guides/overfitting.md")

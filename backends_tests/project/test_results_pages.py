"""The tables of results have the numbers of the files next to them. (For docs/performance.md, see
test_performance_page.py.)
"""

import importlib
import json
import math
from pathlib import Path
from statistics import mean

import pytest

from backends_tests.tables import rows_of

DOCS = Path(__file__).parents[2] / "docs"
PTB, WIKITEXT_2, PRECISION = (
    json.loads((DOCS / "results" / f"{name}.json").read_text(encoding="utf-8"))
    for name in ("learning_curves/ptb", "learning_curves/wikitext-2", "precision/ptb")
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


@pytest.fixture
def experiment(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS.parent / "experiments"))
    return importlib.import_module


def unpack(study, directory):
    """Undoes `study.pack`."""
    for name, runs in study.items():
        (directory / name).mkdir()
        for run, result in runs.items():
            (directory / name / f"{run}.json").write_text(json.dumps(result), encoding="utf-8")


SEARCHES = [
    json.loads((DOCS / f"results/against_keras/{name}.json").read_text(encoding="utf-8"))
    for name in ("first", "second")
]
# AWD-LSTM with the chosen settings and three times as many epochs, in which it alone had not ended.
LONGER = json.loads((DOCS / "results/against_keras/longer.json").read_text(encoding="utf-8"))


def of_runs(runs, kind, figure):
    return [run[figure] for stem, run in runs.items() if stem.startswith(kind)]


@pytest.mark.parametrize(("name", "others"), [("python_docs", {}), ("longer", {"full": LONGER["awd-lstm"]})])
def test_ablation(tmp_path, experiment, name, others):
    """Trained for longer, the full model is that of the comparison with Keras's LSTM."""
    runs = json.loads((DOCS / f"results/ablation/{name}.json").read_text(encoding="utf-8"))
    unpack({**others, **runs}, tmp_path)
    assert experiment("without_a_part").report(tmp_path) in (DOCS / "results/ablation.md").read_text(encoding="utf-8")


def test_against_keras(tmp_path, experiment):
    """Each model has the search whose seeds are better on validation; ours has been trained for longer, too."""
    best = {
        name: min((search[name] for search in SEARCHES), key=lambda runs: mean(of_runs(runs, "seed", "valid")))
        for name in SEARCHES[0]
    }
    unpack({**best, **LONGER}, tmp_path)
    search = experiment("search_against_keras")
    page = (DOCS / "results/against_keras.md").read_text(encoding="utf-8")
    assert search.report(tmp_path) in page
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    for name, runs in best.items():
        spreads = [experiment("study").spread(of_runs(of[name], "seed", "test")) for of in SEARCHES]
        assert f"| {search.example.NAMES[name]} | {' | '.join(spreads)} |" in page
        whole = [run for stem, run in runs.items() if stem.startswith("whole")]
        chosen = min(whole, key=lambda run: run["valid"])["settings"]
        assert search.example.SETTINGS[name] == chosen == runs["seed-0"]["settings"]
    assert all(run["settings"] == search.example.SETTINGS["awd-lstm"] for run in LONGER["awd-lstm"].values())


@pytest.mark.parametrize("text", ["python-docs", "tunes"])
def test_the_trials_of_the_second_search(experiment, text):
    """The command draws those that were run: the first has what the first search chose, the others are around it."""
    search, study = experiment("search_against_keras"), experiment("study")
    of = search.TEXTS[text]
    runs = json.loads((DOCS / f"results/{of.results}/second.json").read_text(encoding="utf-8"))
    for name in runs:
        contender = search.contender(name, of, None, 1, first_search=False)
        for number in range(8):
            assert study.settings_of(contender, number) == runs[name][f"trial-{number:02}"]["settings"]


def test_tunes(tmp_path, experiment):
    """Each model has the search whose seeds are better on validation. The example has what was chosen there."""
    searches = [
        json.loads((DOCS / f"results/tunes/{name}.json").read_text(encoding="utf-8")) for name in ("first", "second")
    ]
    found = {name: [of[name] for of in searches if name in of] for name in searches[0]}
    best = {name: min(of, key=lambda runs: mean(of_runs(runs, "seed", "valid"))) for name, of in found.items()}
    unpack(best, tmp_path)
    search, study = experiment("search_against_keras"), experiment("study")
    page = (DOCS / "results/sequences.md").read_text(encoding="utf-8")
    assert search.report(tmp_path, digits=2) in page
    for name, runs in best.items():
        spreads = [study.spread(of_runs(of, "seed", "test"), 2) for of in found[name]]
        assert f"| {search.example.NAMES[name]} | {' | '.join(spreads)} |" in page
        if name in search.tunes.SETTINGS:
            assert search.tunes.SETTINGS[name] == runs["seed-0"]["settings"]


def test_cells(tmp_path, experiment):
    runs = json.loads((DOCS / "results/cells/python_docs.json").read_text(encoding="utf-8"))
    unpack(runs, tmp_path)
    page = (DOCS / "results/cells.md").read_text(encoding="utf-8")
    assert experiment("four_cells").report(tmp_path) in page
    tests = {cell: of_runs(of_cell, "seed", "test") for cell, of_cell in runs.items()}
    study = experiment("study")
    assert f"behind the QRNN too ({study.chance(tests['mogrifier'], tests['qrnn']):.0%})" in page
    behind = {round(100 * study.chance(tests["gru"], tests[cell])) for cell in tests if cell != "gru"}
    assert f"the GRU behind all three ({min(behind)} to {max(behind)}%)" in page
    guide = " ".join((DOCS / "guides/cells.md").read_text(encoding="utf-8").split())
    for cell in ("lstm", "qrnn"):
        assert study.spread(tests[cell]) in guide


def test_penn_treebank():
    run = json.loads((DOCS / "results/runs/ptb-small.json").read_text(encoding="utf-8"))
    page = " ".join((DOCS / "results/penn_treebank.md").read_text(encoding="utf-8").split())
    lines, begun = run["metrics"], run["triggered_epoch"]
    hours = sum(line["seconds"] for line in lines) / 3600
    assert f"After {run['epochs']} epochs on one CPU core, {hours:.1f} hours" in page
    valid = run["valid_perplexity"]
    assert f"| `ptb-small`, {run['epochs']} epochs | 3.9 million | {valid:.1f} | not read yet |" in page
    before = min(line["valid_perplexity"] for line in lines[:begun])
    after = lines[begun]["valid_perplexity"]
    assert f"after epoch {begun}, and took it from {before:.1f}, the best before, to {after:.1f} within" in page
    # The relation of test to validation is that of three published models.
    assert f"at {0.954 * valid:.0f} to {0.969 * valid:.0f} on test" in page


def test_characters():
    folder = DOCS / "results/runs"
    page = " ".join((DOCS / "results/characters.md").read_text(encoding="utf-8").split())
    before, last = (
        json.loads((folder / f"ptb-character-640{part}.json").read_text(encoding="utf-8")) for part in ("-before", "")
    )
    stages = [*(stage["metrics"] for stage in before), last["metrics"]]
    for lines in stages:
        bits = (f"{line['valid_bits_per_character']:.3f}" for line in lines)
        assert f"| {', '.join(bits)} |" in page
    lines = [line for stage in stages for line in stage]
    hours = sum(line["seconds"] for line in lines) / 3600
    assert f"After {len(lines)} epochs on one CPU core, {hours:.1f} hours" in page
    valid, test = (math.log2(last[f"{split}_perplexity"]) for split in ("valid", "test"))
    assert f"at {test:.3f} bits on test, {valid:.3f} on validation" in page


def test_few_labels(tmp_path, experiment):
    runs = json.loads((DOCS / "results/few_labels/languages.json").read_text(encoding="utf-8"))
    unpack(runs, tmp_path)
    study = experiment("few_labels")
    assert study.report(tmp_path) in (DOCS / "results/few_labels.md").read_text(encoding="utf-8")
    for name, settings in study.example.SETTINGS.items():
        trials = [run for stem, run in runs[name].items() if stem.startswith("trial")]
        chosen = min(trials, key=lambda run: run["valid"])["settings"]
        assert settings == chosen == runs[name]["seed-0"]["settings"]


OVERFITTING = json.loads((DOCS / "results/overfitting/overfitting.json").read_text(encoding="utf-8"))["runs"]


@pytest.mark.parametrize("model", OVERFITTING)
def test_overfitting(model):
    """The page has means over the seeds."""
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

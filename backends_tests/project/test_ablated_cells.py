"""`examples/ablated_cells.py`: cells are trained equally, tables are right for given results, and it continues."""

import importlib.util
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from awd_keras import runs
from awd_keras.layers import AblatedLSTM
from backends_tests.runs.small_run import make_corpus, write_text
from backends_tests.tables import rows_of

EXAMPLES = Path(__file__).parents[2] / "examples"
SIZES = {"embedding_dim": 6, "hidden_units": 8, "num_layers": 2}
SETTINGS = {"preset": "ptb", **SIZES, "learning_rate": 30.0, "non_monotone_interval": 5, "batch_size": 4, "epochs": 7}
TITLE = {**SETTINGS, "backend": "jax", "train_tokens": 1234, "words": 56}


@pytest.fixture
def cells(monkeypatch):
    """The script, which imports another one from its directory."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    specification = importlib.util.spec_from_file_location("ablated_cells", EXAMPLES / "ablated_cells.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def result(perplexity, speed=100.0, epoch=None):
    return {
        "valid_perplexity": perplexity and 2 * perplexity,
        "test_perplexity": perplexity,
        "tokens_per_second": speed,
        "triggered_epoch": epoch,
    }


def test_all_cells_are_trained_alike(cells, tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(runs, "train", lambda directory, corpus, **given: trained.append((directory, given)))
    for cell in cells.CELLS:
        cells.train(tmp_path, cell, 3, SETTINGS, None)
    assert [given["model"].pop("cell") for _, given in trained] == list(AblatedLSTM.VARIANTS)
    names = ["lstm", "lstm-srnn", "lstm-srnn-out", "lstm-srnn-hidden", "lstm-gates"]
    assert [directory for directory, _ in trained] == [tmp_path / name / "seed-3" for name in names]
    assert all(given == trained[0][1] for _, given in trained)
    assert trained[0][1] == {
        "preset": "ptb",
        "model": SIZES,
        "optimizer": {"learning_rate": 30.0, "non_monotone_interval": 5},
        "epochs": 7,
        "batch_size": 4,
        "seed": 3,
        "skip_nonfinite": True,
        "verbose": 2,
    }


def test_the_settings_are_the_preset_s_own_but_for_those_given(cells):
    corpus = make_corpus()
    own = cells.settings_of(cells.parse(["--output", "x", "--preset", "ptb"]), corpus)
    text = {"train_tokens": 65, "words": 9, "text_digest": corpus.digest}
    published = {"embedding_dim": 400, "hidden_units": 1150, "num_layers": 3, "batch_size": 20, "epochs": 500}
    assert own == {"backend": keras.backend.backend(), **SETTINGS, **published, **text}
    given = ["--epochs", "4", "--hidden-units", "7", "--learning-rate", "3"]
    changed = cells.settings_of(cells.parse(["--output", "x", "--preset", "ptb", *given]), corpus)
    assert changed == {**own, "epochs": 4, "hidden_units": 7, "learning_rate": 3.0}


def test_the_figures_of_the_table(cells):
    found = {
        "lstm": {0: result(100.0), 1: result(120.0)},
        "-srnn": {0: result(110.0, 50.0, 4), 1: result(126.0, 80.0)},
        "-srnn-out": {0: result(None), 1: result(130.0)},
        "-srnn-hidden": {},
        "-gates": {0: result(None)},
    }
    rows = {row["cell"]: row for row in cells.summarize(found, SETTINGS)}
    assert rows["-srnn"]["test_perplexity"] == [118.0, 110.0, 126.0]
    assert rows["-srnn"]["percents"] == pytest.approx([10, 5])
    assert rows["-srnn"]["speed"] == pytest.approx([0.65, 0.5, 0.8])
    # Two layers, from 6 to 8 to 6 units: kernels, recurrent kernels and biases.
    assert rows["lstm"]["lstm_weights"] == 32 * (6 + 8 + 1) + 24 * (8 + 6 + 1)
    assert rows["-gates"]["lstm_weights"] == 8 * (6 + 8 + 1) + 6 * (8 + 6 + 1)
    lines = cells.table(list(rows.values()), TITLE).splitlines()[-5:]
    change = "+7.5 (+5.0 to +10.0) %"
    assert lines[1] == (
        "| lstm-srnn | 726 | 0, 1 | 236.0 (220.0 to 252.0) | 118.0 (110.0 to 126.0) | "
        f"{change} | 0.65 (0.50 to 0.80) | 4, never |  |"
    )
    assert lines[2] == "| lstm-srnn-out | 516 | 1 | 260.0 | 130.0 | +8.3 % | 1.00 | never | 0 |"
    assert lines[3] == "| lstm-srnn-hidden | 426 |  |  |  |  |  |  |  |"
    assert lines[4] == "| lstm-gates | 210 |  |  |  |  |  |  | 0 |"


def test_the_picture(cells, tmp_path, monkeypatch):
    found = {
        "lstm": {0: result(100.0), 1: result(120.0)},
        "-srnn": {0: result(130.0)},
        "-srnn-out": {0: result(2000.0)},
        "-srnn-hidden": {},
        "-gates": {0: result(None)},
    }
    drawn = []
    monkeypatch.setattr(cells.Figure, "savefig", lambda self, path, **_: drawn.append(self))
    cells.draw(cells.summarize(found, SETTINGS), TITLE, tmp_path)
    (axes,) = drawn[0].axes
    # An unfinished cell isn't drawn, one that overflowed has a label, and a long bar is cut.
    labels = ["lstm", "lstm-srnn", "lstm-srnn-out", "lstm-gates"]
    assert [label.get_text() for label in axes.get_yticklabels()] == labels
    assert [bar[0].get_width() for bar in axes.containers] == pytest.approx([110, 130, 220])
    assert [list(line.get_xdata()) for line in axes.lines] == [[100, 120], [130, 130]]
    assert [text.get_text() for text in axes.texts] == ["110.0", "130.0", "2,000.0, cut", "overflowed"]


@pytest.fixture
def command(tmp_path):
    """The smallest possible command, with windows of one length, so that JAX compiles them once."""
    write_text(tmp_path / "text")
    sizes = {"batch-size": 4, "embedding-dim": 6, "hidden-units": 8, "num-layers": 1, "epochs": 1}
    options = [str(word) for name, value in sizes.items() for word in (f"--{name}", value)]
    return ["--data", str(tmp_path / "text"), "--output", str(tmp_path / "output"), *options]


def test_trains_reports_and_goes_on(cells, command, monkeypatch, capsys):
    monkeypatch.setattr(cells, "CELLS", ("-gates",))
    assert cells.main(command) == 0
    output = Path(command[3])
    found = json.loads((output / "ablated_cells.json").read_text(encoding="utf-8"))["results"]
    run = runs.Run.open(output / "lstm-gates" / "seed-0")
    assert run.config["model"]["cell"] == "-gates"
    assert found == {"-gates": {"0": run.result}}
    assert np.isfinite(run.result["test_perplexity"])
    assert (output / "ablated_cells.png").read_bytes().startswith(b"\x89PNG")
    assert "| lstm-gates |" in capsys.readouterr().out
    # When all is finished, nothing is trained again. Other settings are refused, as they need another table.
    monkeypatch.setattr(runs, "train", None)
    assert cells.main(command) == 0
    assert cells.main([*command, "--epochs", "2"]) == 2
    assert "with epochs=1: choose another --output" in capsys.readouterr().err
    # The table includes all seeds.
    shutil.copytree(output / "lstm-gates" / "seed-0", output / "lstm-gates" / "seed-7")
    assert cells.main(command) == 0
    found = json.loads((output / "ablated_cells.json").read_text(encoding="utf-8"))["results"]
    assert found == {"-gates": {"0": run.result, "7": run.result}}


def test_bad_input_and_signals_are_one_line(cells, command, monkeypatch, capsys):
    assert cells.main([*command, "--epochs", "0"]) == 2
    assert (
        capsys.readouterr().err == "ablated_cells: Argument `epochs` must be a positive integer. Received: epochs=0\n"
    )

    def stop(*arguments, **options):
        raise runs.Interrupted(15)

    monkeypatch.setattr(runs, "train", stop)
    assert cells.main(command) == 128 + 15
    assert "stopped by SIGTERM; the same command continues" in capsys.readouterr().err


@pytest.mark.parametrize("rate", [10, 30])
def test_the_page_has_the_files_tables(cells, rate):
    results = EXAMPLES.parent / "docs" / "results"
    written = json.loads((results / "ablated_cells" / f"rate_{rate}.json").read_text(encoding="utf-8"))
    table = cells.table(written["rows"], {**written["settings"], "backend": "torch"})
    page = rows_of((results / "ablated_cells.md").read_text(encoding="utf-8"))
    assert len(rows_of(table)) == 7
    assert [row for row in rows_of(table) if row not in page] == []

"""Each script of benchmarks/ and experiments/ has a help text, and the code that it times or trains runs."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from awd_keras.data import BPTTDataset
from awd_keras.optimizers import NTASGD
from backends_tests.runs.small_run import make_corpus, write_text

ROOT = Path(__file__).parents[2]
BENCHMARKS, EXPERIMENTS = ROOT / "benchmarks", ROOT / "experiments"
# The scripts with a command line.
SCRIPTS = {
    path
    for path in [*BENCHMARKS.glob("*.py"), *EXPERIMENTS.rglob("*.py")]
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8") and path.stem != "worker"
}
TINY = {
    "vocabulary_size": 12,
    "embedding_dim": 16,
    "hidden_units": 5,
    "num_layers": 2,
    "batch_size": 2,
    "bptt": 6,
}
SUBJECTS = [
    ("ours", "training", {"steps": 2}),
    ("ours", "training", {"steps": 1, "averaging": True}),
    ("ours", "classification", {"tokens": 5, "most": 3}),
    ("ours", "evaluation", {"batch_size": 2, "windows": 2}),
    ("ours", "generation", {"words": 2}),
    ("ours", "texts", {"count": 5, "words": 3, "together": False}),
    ("ours", "texts", {"count": 50, "words": 3, "together": True}),
    ("ours", "cache", {"tokens": 20, "window": 7}),
    ("stock_keras", "training", {"steps": 2}),
    ("products", "training", {"steps": 2}),
    ("one_layer", "forward", {"cell": "lstm"}),
    ("one_layer", "training", {"cell": "-srnn-hidden"}),
    ("softmax", "plain", {}),
    ("softmax", "chunked", {}),
    ("softmax", "adaptive", {}),
    ("reference_torch", "training", {"steps": 2, "averaging": True}),
    ("reference_torch", "evaluation", {"batch_size": 2, "windows": 2}),
    ("reference_torch", "generation", {"words": 2}),
    ("reference_torch", "cache", {"tokens": 20, "window": 7}),
    ("softmax_torch", "plain", {}),
    ("softmax_torch", "adaptive", {}),
]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Lets the scripts import each other from their directories."""
    for folder in (BENCHMARKS, EXPERIMENTS):
        monkeypatch.syspath_prepend(str(folder))


def test_scripts_are_found():
    assert {"training_step", "deviations", "train_minutes"} <= {path.stem for path in SCRIPTS}


@pytest.mark.parametrize("path", sorted(SCRIPTS), ids=lambda path: path.stem)
def test_says_what_it_does(path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(path.parent))
    script = importlib.import_module(path.stem)
    monkeypatch.setattr(sys, "argv", [path.name, "--help"])
    with pytest.raises(SystemExit) as end:
        script.main()
    assert end.value.code == 0
    assert " ".join(script.__doc__.split())[:60] in " ".join(capsys.readouterr().out.split())


def test_both_caches_compute_the_same():
    import ours
    import reference_torch
    from shapes import Shape

    shape = Shape(**TINY)
    whole = 27 * ours.cache(shape, tokens=27, window=7)()
    scored = 20 * reference_torch.cache(shape, tokens=20, window=7)()
    assert whole == pytest.approx(scored + 7 * np.log(shape.vocabulary_size), rel=1e-5)


def test_one_bias_or_two():
    import two_biases

    one, two = (two_biases.train(make_corpus(), count, seed=0, epochs=1) for count in (1, 2))
    # Each of the two vectors has the gradient of the single one.
    assert two["share of the gradient's norm"] > 1.1 * one["share of the gradient's norm"]
    assert two["valid perplexity"] != one["valid perplexity"]


def test_the_reference_s_curve(monkeypatch, tmp_path, capsys):
    import learning_curves
    from shapes import Shape

    write_text(tmp_path / "text")
    monkeypatch.setitem(learning_curves.SHAPES, "small", Shape(**TINY))
    arguments = ["--data", "text", "--output", "curves", "--preset", "tiny", "--epochs", "2", "--seeds", "3"]
    monkeypatch.setattr(sys, "argv", ["learning_curves", *arguments, "--subjects", "reference"])
    monkeypatch.chdir(tmp_path)
    learning_curves.main()
    written = json.loads((tmp_path / "curves" / "curves.json").read_text(encoding="utf-8"))
    for measure in ("valid_perplexity", "train_perplexity"):
        first, second = written[measure]["reference"]["3"]
        assert first != second
    assert written["valid_perplexity"] != written["train_perplexity"]
    assert (tmp_path / "curves" / "curves.png").is_file()
    # Runs with another number of epochs are refused, as they don't belong in the same table.
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--epochs", "3"])
    with pytest.raises(SystemExit, match="2"):
        learning_curves.main()
    message = "learning_curves: curves holds runs with epochs=2: choose another --output\n"
    assert capsys.readouterr().err == message


def test_the_reference_averages_as_ntasgd_does():
    from reference_torch import Reference, Trainer, device, learning_curve, perplexity
    from shapes import Shape

    corpus = make_corpus()
    shape = Shape(**{**TINY, "vocabulary_size": len(corpus.vocabulary)})
    windows = BPTTDataset(corpus.train, shape.batch_size, bptt=shape.bptt)
    valid = BPTTDataset(corpus.valid, 2, bptt=shape.bptt, variable=False)
    trainer = Trainer(Reference(shape).to(device()), learning_rate=30.0, non_monotone_interval=1)
    lines, iterates = [], []
    step = trainer.step

    def recorded(x, y):
        loss = step(x, y)
        iterates.append(trainer.parameters[0].numpy(force=True).copy())
        return loss

    trainer.step = recorded
    for line in learning_curve(trainer, windows, valid, epochs=12):
        lines.append(line)
        # Between epochs the model has the iterate, even if validation used the average.
        np.testing.assert_array_equal(trainer.parameters[0].numpy(force=True), iterates[-1])
    optimizer = NTASGD(non_monotone_interval=1)
    optimizer.build([])
    for line in lines:
        optimizer.update_trigger(line["valid_perplexity"])
        assert line["averaging"] == optimizer.averaging
    began = [line["averaging"] for line in lines].index(True)
    assert 0 < began < 11
    averaged = np.mean(iterates[(began + 1) * len(windows) - 1 :], axis=0, dtype="float64")
    np.testing.assert_allclose(trainer.averages[0].numpy(force=True), averaged, rtol=1e-4, atol=1e-5)
    with trainer.averages_in_model():
        np.testing.assert_array_equal(*(x[0].numpy(force=True) for x in (trainer.parameters, trainer.averages)))
        measured = perplexity(trainer.model, valid)
    assert measured != pytest.approx(perplexity(trainer.model, valid), rel=1e-6)
    assert measured == pytest.approx(lines[-1]["valid_perplexity"], rel=1e-6)


def test_how_far_backends_and_seeds_are_apart():
    from learning_curves import SPREAD, spread_of

    ours = {"torch": {0: [100.0, 9.0], 1: [110.0]}, "jax": {0: [120.0, 9.0], 1: [130.0]}}
    # Of the six ways to assign four runs to two backends, two have means as far apart: this one and its mirror image.
    backends, seeds, chance = 125 / 105 - 1, 110 / 100 - 1, 1 / 3
    found = spread_of(ours, 0)
    assert list(found) == list(SPREAD)
    assert [*found.values()] == pytest.approx([backends, backends, seeds, chance], abs=0.02)
    # The reference isn't a backend, but the spread of its seeds counts.
    reference = {"reference": {0: [210.0], 1: [315.0]}}
    assert [*spread_of(ours | reference, 0).values()] == pytest.approx([backends, 1.5, 0.5, chance], abs=0.02)
    assert [*spread_of(ours, 1).values()] == [0.0, 0.0, None, None]
    assert [*spread_of(reference, 0).values()] == [None, None, 0.5, None]


def test_precision(monkeypatch, tmp_path, capsys):
    import precision
    from shapes import Shape

    write_text(tmp_path / "text")
    monkeypatch.setitem(precision.SHAPES, "small", Shape(**TINY))
    monkeypatch.chdir(tmp_path)
    run = f"{keras.backend.backend()}-mixed_bfloat16"
    arguments = ["precision", "--data", "text", "--output", "runs", "--backend", keras.backend.backend()]
    for more in (["--epochs", "1", "--train", run], ["--epochs", "2", "--train", run], ["--report"]):
        monkeypatch.setattr(sys, "argv", arguments + more)
        precision.main()
    written = json.loads((tmp_path / "runs" / "precision.json").read_text(encoding="utf-8"))["valid_perplexity"]
    first, second = written[keras.backend.backend()]["mixed_bfloat16"]
    assert first != second
    assert f"| mixed_bfloat16 | {first:.2f}, {second:.2f} |" in capsys.readouterr().out
    model = keras.saving.load_model(tmp_path / "runs" / run / "model.keras")
    assert model.dtype_policy.name == "mixed_bfloat16"


@pytest.mark.parametrize(("module", "function", "arguments"), SUBJECTS)
def test_subjects_run(module, function, arguments):
    from shapes import Shape

    run = getattr(importlib.import_module(module), function)(Shape(**TINY), **arguments)
    run()
    run()


def test_a_worker_answers_each_order():
    order = {"shape": TINY, "module": "products", "function": "training", "steps": 1}
    worker = subprocess.run(
        [sys.executable, str(BENCHMARKS / "worker.py"), json.dumps(order)],
        input="run\nrun\n",
        capture_output=True,
        text=True,
        check=True,
    )
    ready, *answers = [json.loads(line) for line in worker.stdout.splitlines()]
    assert 0 < ready["idle"] <= ready["peak"]
    assert [answer["seconds"] > 0 for answer in answers] == [True, True]


def test_a_ratio_is_of_the_same_round():
    from measure import ratio

    # The ratio doesn't change if the machine becomes four times slower halfway.
    samples = {"a": [1.0, 1.0, 4.0, 4.0], "b": [2.0, 2.0, 8.0, 8.0]}
    assert ratio(samples, "a", "b") == 2.0


def test_a_report_is_a_table_and_a_file(tmp_path, capsys):
    from measure import parser, report

    options = parser("", rounds=1).parse_args(["--json", str(tmp_path / "figures.json")])
    report(options, ("name", "seconds"), [{"name": "ours", "seconds": 0.5, "device": "cpu"}], samples={})
    assert capsys.readouterr().out.split("\n")[1:4] == ["| name | seconds |", "|---|---|", "| ours | 0.500 |"]
    written = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert written["rows"][0]["device"] == "cpu"
    assert written["machine"]["versions"]["keras"] == keras.__version__
    assert written["machine"]["processor"]
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]

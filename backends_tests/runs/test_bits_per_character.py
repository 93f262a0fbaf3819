"""Runs of characters and of bytes report bits per character as well as perplexity; runs of words don't."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from awd_keras import runs
from awd_keras.data import Corpus, Vocabulary
from awd_keras.models import AWDLSTM, PRESETS
from awd_keras.runs.recording import draw_curve
from awd_keras.runs.training import train
from backends_tests.cli.test_cli import run_main
from backends_tests.helpers import once

LETTERS = "\nabcdefg"
SETTINGS = {
    "model": {"embedding_dim": 4, "hidden_units": 6, "num_layers": 1},
    "epochs": 2,
    "batch_size": 4,
    "bptt": 10,
    "variable": False,
    "verbose": 0,
}


def make_corpus(unit):
    rng = np.random.default_rng(0)
    train, valid, test = (rng.integers(0, len(LETTERS), size).astype("int32") for size in (81, 101, 31))
    return Corpus(train, valid, test, Vocabulary(list(LETTERS), unit=unit))


@pytest.fixture(scope="module", params=["character", *once("byte")])
def run(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "run"
    runs.train(directory, make_corpus(request.param), preset="tiny-character", **SETTINGS)
    return runs.Run.open(directory)


def bits(model, tokens):
    """The mean of -log2 p over a stream of tokens, in NumPy from the model's logits."""
    logits = model.predict(tokens[None, :-1], verbose=0)[0].astype("float64")
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return -np.mean(log_p[np.arange(len(tokens) - 1), tokens[1:]]) / np.log(2)


def test_metrics_and_result(run):
    for line in run.metrics():
        for split in ("train", "valid"):
            expected = np.log2(line[f"{split}_perplexity"])
            assert line[f"{split}_bits_per_character"] == pytest.approx(expected, rel=1e-5)
    result, corpus = run.result, make_corpus(run.vocabulary().unit)
    assert result["test_bits_per_character"] == pytest.approx(bits(run.model(), corpus.test), rel=1e-5)
    assert result["valid_bits_per_character"] == pytest.approx(np.log2(result["valid_perplexity"]), rel=1e-6)


@pytest.mark.once
def test_the_command_line(run, tmp_path, capsys):
    corpus = make_corpus("character")
    for split in ("train", "valid", "test"):
        text = corpus.vocabulary.join(corpus.vocabulary.decode(getattr(corpus, split)))
        (tmp_path / f"{split}.txt").write_text(text, encoding="utf-8", newline="")
    result = run.result
    assert run_main("evaluate", str(run.directory), "--data", str(tmp_path)) == 0
    valid, test = capsys.readouterr().out.splitlines()
    assert f"  bits/character {result['valid_bits_per_character']:.4f}  " in valid
    assert f"  bits/character {result['test_bits_per_character']:.4f}  " in test
    sizes = ["--embedding-dim", "4", "--hidden-units", "6", "--num-layers", "1", "--epochs", "1"]
    arguments = ["--data", str(tmp_path), "--batch-size", "4", "--bptt", "10", *sizes]
    # The preset decides the unit.
    assert run_main("train", "--preset", "tiny-character", "--output", str(tmp_path / "run"), *arguments) == 0
    result = runs.Run.open(tmp_path / "run").result
    said = f"bits a character  valid {result['valid_bits_per_character']:.3f}, test "
    printed = capsys.readouterr().out
    assert said in printed
    assert "optimizer         Adam, which averages nothing" in printed
    output = str(tmp_path / "words")
    assert run_main("train", "--preset", "tiny-character", "--unit", "word", "--output", output, *arguments) == 0
    assert "bits a character" not in capsys.readouterr().out
    assert "valid_bits_per_character" not in runs.Run.open(output).result


@pytest.mark.once
@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_reads_the_embedded_text_by_its_unit(preset, monkeypatch, tmp_path):
    class Read(Exception):
        pass

    def python_docs(unit):
        raise Read(unit)

    monkeypatch.setattr(Corpus, "python_docs", python_docs)
    expected = {"enwik8": "byte", "ptb-character": "character", "tiny-character": "character"}.get(preset, "word")
    with pytest.raises(Read, match=expected):
        train(tmp_path / "run", preset=preset)


@pytest.mark.once
@pytest.mark.parametrize("bits_too", [False, True])
def test_the_curve_has_an_axis_of_bits(tmp_path, monkeypatch, bits_too):
    line = {"train_perplexity": 6.0, "valid_perplexity": 4.0, "averaging": False}
    more = {"train_bits_per_character": 2.6, "valid_bits_per_character": 2.0} if bits_too else {}
    shown = []
    save = Figure.savefig

    def look(figure, *arguments, **settings):
        save(figure, *arguments, **settings)
        for axes in figure.axes[0].child_axes:
            low, high = axes.get_ylim()
            shown.append((axes.get_ylabel(), low, high, [tick.get_text() for tick in axes.get_yticklabels()]))

    monkeypatch.setattr(Figure, "savefig", look)
    draw_curve([{"epoch": epoch, **line, **more} for epoch in (1, 2)], tmp_path / "curve.png")
    if not bits_too:
        assert shown == []
        return
    ((label, low, high, ticks),) = shown
    assert label == "bits per character"
    # The axis goes from 4 to 6 in perplexity, and a little further on both sides.
    assert 1.8 < low < 2.0
    assert np.log2(6) < high < 2.8
    assert len(ticks) > 2
    assert all(0 < float(tick) < 4 for tick in ticks)


@pytest.mark.once
@pytest.mark.parametrize(("preset", "words", "million"), [("ptb-character", 50, 13.8), ("enwik8", 205, 47.3)])
def test_presets_of_the_original(preset, words, million):
    """The settings of its README, and the number of weights of its models with one bias in each layer."""
    settings = PRESETS[preset]
    assert settings.optimizer["weight_decay"] == 1.2e-6
    assert settings.optimizer["global_clipnorm"] == 0.25
    expected = {
        "ptb-character": (0.002, 500, 128, 150, (300, 400), "character"),
        "enwik8": (0.001, 50, 128, 200, (25, 35), "byte"),
    }[preset]
    found = settings.optimizer["learning_rate"], settings.epochs, settings.batch_size, settings.bptt
    assert (*found, settings.learning_rate_drops, settings.unit) == expected
    size, units = settings.model["embedding_dim"], settings.model["hidden_units"]
    weights = 4 * units * (size + units + 1) + 4 * units * (2 * units + 1) + 4 * size * (units + size + 1)
    weights += words * (size + 1)
    assert round(weights / 1e6, 1) == million
    model = AWDLSTM.from_preset(preset, words)
    assert model.num_layers == 3
    rates = ("input_dropout", "hidden_dropout", "output_dropout", "embedding_dropout", "weight_drop", "alpha", "beta")
    dropped = {"ptb-character": (0.1, 0.25, 0.1, 0, 0.5, 0, 0), "enwik8": (0.1, 0.1, 0.4, 0, 0.2, 0, 0)}
    assert tuple(getattr(model, rate) for rate in rates) == dropped[preset]

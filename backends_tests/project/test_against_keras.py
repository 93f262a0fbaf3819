"""`examples/against_keras.py`: it runs on a small text, and its models have the same size."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from awd_keras import data, models

ROOT = Path(__file__).parents[2]


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    return importlib.import_module("against_keras")


def small_corpus():
    words = [f"w{number}" for number in range(20)]
    tokens = np.random.default_rng(0).integers(0, 20, 1500).astype("int32")
    return data.Corpus(tokens[:1000], tokens[1000:1250], tokens[1250:], data.Vocabulary(words))


def weights(example, sizes, words):
    """The number of weights of each model with these sizes."""
    for shape in sizes.keras.values():
        yield example.keras_lstm(words, shape).count_params()
    for layers, settings in sizes.ours.items():
        ours = models.AWDLSTM(words, num_layers=layers, **settings)
        ours.build((1, None))
        yield ours.count_params()


def test_all_have_as_many_weights(example):
    tunes = importlib.import_module("tunes")
    for sizes, words in ((example.SIZES, len(data.Corpus.python_docs().vocabulary)), (tunes.SIZES, 229)):
        counts = list(weights(example, sizes, words))
        assert len(counts) == 5
        assert counts == pytest.approx([np.mean(counts)] * 5, rel=0.01)


def test_rows_are_the_text_and_the_words_that_follow(example):
    x, y = example.in_rows(np.arange(11), 2)
    assert x.tolist() == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert y.tolist() == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]


def test_a_model_without_a_part(example, monkeypatch, tmp_path):
    """`experiments/without_a_part.py`: each variant trains, and is scored with a carried state."""
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    parts = importlib.import_module("without_a_part")
    corpus = small_corpus()
    assert parts.settings_without("nt-asgd", 30)["interval"] == 30
    for name in parts.LEFT_OUT:
        settings = {**parts.settings_without(name, 1), "batch_size": 10, "bptt": 10}
        found = parts.variant(name, corpus, 1).run(settings, 0, 1, True)
        assert len(found["curves"]["valid"]) == 1
        # The result reads the text as one stream, in 9 windows; the curve reads it in 10 rows.
        assert found["valid"] == pytest.approx(found["curves"]["valid"][0], rel=0.5)
        assert 1 < found["test"] < 100


def test_it_trains_the_four_and_draws_them(example, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(data.Corpus, "python_docs", small_corpus)
    monkeypatch.setattr("sys.argv", ["against_keras.py", "--epochs", "1", "--output", str(tmp_path)])
    example.main()
    printed = capsys.readouterr().out
    for name in example.NAMES.values():
        assert name in printed
    assert (tmp_path / "against_keras.png").stat().st_size > 10_000

"""`awd-keras evaluate --cache`, `--dynamic` and `--tune`."""

import numpy as np
import pytest

from awd_keras import cli, evaluation, runs
from awd_keras.data import Corpus, Vocabulary
from awd_keras.models import AWDLSTM

pytestmark = pytest.mark.once

WORDS = ["<eos>", "a", "b", "c", "d"]
TUNED = {"windows": [5, 9], "interpolations": [0.25, 0.5], "thetas": [0.5]}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    directory = tmp_path_factory.mktemp("text")
    rng = np.random.default_rng(0)
    for split, lines in (("train", 9), ("valid", 12), ("test", 6)):
        text = "".join(" ".join(rng.choice(WORDS[1:], size=4)) + "\n" for _ in range(lines))
        (directory / f"{split}.txt").write_text(text, encoding="utf-8")
    return str(directory)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    model = AWDLSTM(len(WORDS), embedding_dim=4, hidden_units=4, num_layers=1, seed=1)
    model.build((10, None))
    saved = runs.Run.create(directory, {"preset": "tiny", "bptt": 10, "batch_size": 2}, Vocabulary(WORDS))
    saved.write_model(model)
    return str(directory)


def printed(capsys, *arguments):
    assert cli.main(["evaluate", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def splits(data):
    vocabulary = Vocabulary(WORDS)
    for split in ("valid", "test"):
        with open(f"{data}/{split}.txt", encoding="utf-8") as file:
            yield vocabulary.encode(file.read().replace("\n", " <eos> ").split())


def test_a_cache(run, data, capsys):
    lines = printed(capsys, run, "--data", data, "--cache", "7", "--theta", "0.5")
    assert lines[2] == "with a cache, window 7, interpolation 0.1, theta 0.5"
    model = runs.Run.open(run).model()
    for line, name, tokens in zip(lines[3:], ("valid", "test"), splits(data), strict=True):
        score = evaluation.cache_perplexity(model, tokens, 7, 0.1, 0.5)
        assert line.startswith(f"{name:5} perplexity {score.perplexity:.2f}  loss {score.loss:.4f} ")
        assert "batch size 1 " in line


def test_dynamic_evaluation(run, data, capsys):
    lines = printed(capsys, run, "--data", data, "--dynamic", "--learning-rate", "0.01")
    at = lines.index("with dynamic evaluation, learning rate 0.01, decay 0.002")
    model = runs.Run.open(run).model()
    vocabulary = Vocabulary(WORDS)
    with open(f"{data}/train.txt", encoding="utf-8") as file:
        rms = evaluation.gradient_rms(model, vocabulary.encode(file.read().replace("\n", " <eos> ").split()), 2)
    for line, tokens in zip(lines[at + 1 :], splits(data), strict=True):
        score = evaluation.dynamic_perplexity(model, tokens, 0.01, rms=rms)
        assert f" perplexity {score.perplexity:.2f}  loss {score.loss:.4f} " in line


def test_a_search(run, data, capsys, monkeypatch):
    searched = {}

    def tune_cache(model, tokens, **grid):
        searched.update(grid)
        return tune(model, tokens, **{**TUNED, **grid})

    tune = evaluation.tune_cache

    def cache_perplexity(model, tokens, *arguments, **settings):
        scored.append(len(tokens))
        return score_with_cache(model, tokens, *arguments, **settings)

    score_with_cache, scored = evaluation.cache_perplexity, []
    monkeypatch.setattr(evaluation, "tune_cache", tune_cache)
    monkeypatch.setattr(evaluation, "cache_perplexity", cache_perplexity)
    lines = printed(capsys, run, "--data", data, "--cache", "--interpolation", "0.3", "--tune")
    # The search has scored valid.txt.
    assert scored == [len(list(splits(data))[1])]
    # The options that are given are fixed, and the others are searched.
    assert searched == {"interpolations": [0.3], "bptt": 10, "verbose": 1, "vocabulary": Vocabulary(WORDS)}
    at = next(i for i, line in enumerate(lines) if "perplexity" in line and "window" in line)
    assert lines[at].split() == ["window", "interpolation", "theta", "perplexity"]
    model = runs.Run.open(run).model()
    valid, test = splits(data)
    trials = tune(model, valid, **{**TUNED, "interpolations": [0.3]})
    rows = [[float(value) for value in line.split()] for line in lines[at + 1 : at + 3]]
    assert [row[:3] for row in rows] == [list(trial.settings.values()) for trial in trials]
    assert rows[0][3] <= rows[1][3]
    best = trials[0].settings
    assert lines[at + 3] == f"with a cache, window {best['window']}, interpolation 0.3, theta 0.5"
    assert lines[at + 4].startswith(f"valid perplexity {trials[0].score.perplexity:.2f} ")
    score = evaluation.cache_perplexity(model, test, **best)
    assert lines[at + 5].startswith(f"test  perplexity {score.perplexity:.2f} ")


@pytest.mark.parametrize("option", [["--cache", "7"], ["--cache"], ["--dynamic"]])
def test_what_a_search_leaves_to_the_library(run, data, capsys, monkeypatch, option):
    searched = []
    many = [evaluation.Trial({"theta": n}, evaluation.Score.of(n, 10, 1.0, 0)) for n in range(1, 13)]
    for name in ("tune_cache", "tune_dynamic"):
        monkeypatch.setattr(evaluation, name, lambda model, tokens, **grid: searched.append(grid) or many)
    for name in ("cache_perplexity", "dynamic_perplexity"):
        monkeypatch.setattr(evaluation, name, lambda *arguments, **settings: evaluation.Score.of(1.0, 10, 1.0, 0))
    monkeypatch.setattr(evaluation, "gradient_rms", lambda *arguments, **settings: [])
    lines = printed(capsys, run, "--data", data, *option, "--tune")
    (grid,) = searched
    assert [name for name in grid if name.endswith("s") and name != "rms"] == (["windows"] if len(option) == 2 else [])
    assert "... and 2 more, up to 162754.79" in lines


def test_a_file_with_a_search_on_the_run_s_own_text(run, data, capsys, monkeypatch, tmp_path):
    own = Corpus.from_directory(data, vocabulary=Vocabulary(WORDS))
    monkeypatch.setattr(runs, "corpus_of", lambda run: own)
    read = {}

    def tune_dynamic(model, tokens, rms, **grid):
        read["valid"] = tokens
        return [evaluation.Trial({"learning_rate": 0.01, "decay": 0.0}, evaluation.Score.of(1.0, 10, 1.0, 0))]

    def gradient_rms(model, tokens, **settings):
        read["train"] = tokens
        return [np.ones(variable.shape) for variable in model.trainable_variables]

    monkeypatch.setattr(evaluation, "tune_dynamic", tune_dynamic)
    monkeypatch.setattr(evaluation, "gradient_rms", gradient_rms)
    (tmp_path / "text.txt").write_text("a b c d\n" * 9, encoding="utf-8")
    lines = printed(capsys, run, "--text", str(tmp_path / "text.txt"), "--dynamic", "--tune")
    assert read["valid"] is own.valid
    assert read["train"] is own.train
    at = lines.index("with dynamic evaluation, learning rate 0.01, decay 0")
    (line,) = lines[at + 1 :]
    assert line.startswith("text  perplexity ")
    # It isn't the score of the search, which read another text.
    assert "perplexity 2.72 " not in line
    assert "  tokens 44  <unk> 0 (0.0%)  " in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--theta", "1"], "Option --theta needs --cache."),
        (["--interpolation", "0.1", "--dynamic"], "Option --interpolation needs --cache."),
        (["--learning-rate", "1", "--cache"], "Option --learning-rate needs --dynamic."),
        (["--decay", "1"], "Option --decay needs --dynamic."),
        (["--tune"], "Option --tune needs --cache or --dynamic."),
        (["--cache", "0"], "Option --cache must be a positive integer. Received: 0"),
        (["--cache", "--interpolation", "1"], "Option --interpolation must be a number in [0, 1)."),
        (["--cache", "many"], "Option --cache must be an integer. Received: 'many'"),
        (["--dynamic", "--decay", "-1"], "Option --decay must be a number of at least 0."),
    ],
)
def test_bad_options(run, data, capsys, options, said):
    try:
        status = cli.main(["evaluate", run, "--data", data, *options])
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("awd-keras: error: ")
    assert error.count("\n") == 1

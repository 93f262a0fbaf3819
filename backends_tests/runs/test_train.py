import importlib.util
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from awd_keras import runs
from awd_keras.data import BPTTDataset, Corpus, Vocabulary
from awd_keras.evaluation import perplexity
from awd_keras.models import AWDLSTM
from awd_keras.optimizers import NTASGD
from awd_keras.runs import recording

SETTINGS = {
    "model": {"embedding_dim": 8, "hidden_units": 12, "num_layers": 1},
    "optimizer": {"learning_rate": 2.0, "non_monotone_interval": 1},
    "epochs": 3,
    "batch_size": 4,
    "bptt": 10,
    "seed": 5,
    "verbose": 0,
}


def make_corpus():
    rng = np.random.default_rng(1)
    vocabulary = Vocabulary(["<eos>", "<unk>", *"bcdefgh"])
    # Words that are frequent in training are rare in validation, so validation gets worse from epoch to epoch.
    # Averaging begins as early as possible, and the best model is the first.
    p = np.arange(1.0, 10.0) / 45
    # Two windows in an epoch, as JAX compiles every length, which takes most of this file's time.
    train = rng.choice(9, size=81, p=p).astype("int32")
    valid, test = (rng.choice(9, size=n, p=p[::-1]).astype("int32") for n in (130, 60))
    return Corpus(train, valid, test, vocabulary)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "run"
    runs.train(directory, make_corpus(), **SETTINGS)
    return directory


def without_times(lines):
    return [{key: line[key] for key in line if key not in ("seconds", "tokens_per_second")} for line in lines]


def test_writes_the_directory_of_the_design(directory):
    checkpoints = ["checkpoint-2.keras", "checkpoint-3.keras"]
    assert sorted(path.name for path in directory.iterdir()) == sorted([*runs.Run.FILES, *checkpoints])
    run = runs.Run.open(directory)
    lines = run.metrics()
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    for line in lines:
        assert sorted(line) == [
            "averaging",
            "epoch",
            "learning_rate",
            "seconds",
            "tokens_per_second",
            "train_perplexity",
            "valid_perplexity",
        ]
        # The optimizer's own rate, not the last window's.
        assert line["learning_rate"] == 2.0
        assert line["tokens_per_second"] > 0
    assert sorted(run.result) == [
        "backend",
        "epochs",
        "optimizer",
        "preset",
        "skipped_steps",
        "test_perplexity",
        "tokens_per_second",
        "triggered_epoch",
        "unknown_tokens",
        "valid_perplexity",
        "versions",
    ]
    backend = keras.backend.backend()
    assert (run.result["backend"], run.result["epochs"], run.result["preset"]) == (
        backend,
        3,
        "tiny",
    )
    assert run.result["skipped_steps"] == 0
    corpus = make_corpus()
    splits = {split: getattr(corpus, split).tolist() for split in ("train", "valid", "test")}
    assert run.result["unknown_tokens"] == {split: ids.count(1) for split, ids in splits.items()}
    assert run.result["versions"]["keras"] == keras.version()
    assert run.result["versions"][backend][0].isdigit()
    assert run.path("curve.png").read_bytes().startswith(b"\x89PNG")
    config = run.config
    assert config["model"]["hidden_units"] == 12
    assert config["optimizer"]["learning_rate"] == 2.0
    assert (config["epochs"], config["batch_size"], config["bptt"]) == (3, 4, 10)


@pytest.mark.once
def test_times_of_an_epoch(tmp_path, monkeypatch):
    """With a clock that doesn't depend on the machine: an epoch's seconds include validation, its rate doesn't."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(recording, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    corpus = make_corpus()
    model = AWDLSTM(9, embedding_dim=2, hidden_units=2, num_layers=1)
    model.compile()
    model.build((4, None))
    model.optimizer.build(model.trainable_variables)
    run = runs.Run.create(tmp_path / "run", {}, corpus.vocabulary)
    recorder = runs.RunRecorder(run, BPTTDataset(corpus.train, 4, bptt=10))
    recorder.set_model(model)
    recorder.on_epoch_begin(0)
    for clock.now in (101.0, 104.0):
        recorder.on_train_batch_end(0)
    clock.now = 106.5
    recorder.on_epoch_end(0, {"perplexity": 5.0, "val_perplexity": 6.0})
    (line,) = run.metrics()
    assert (line["seconds"], line["tokens_per_second"]) == (6.5, 80 / 4)


def test_averaging_is_told_as_the_rule_has_it(directory):
    run = runs.Run.open(directory)
    first, second, third = [line["valid_perplexity"] for line in run.metrics()]
    assert first < second < third
    assert run.result["triggered_epoch"] == 3
    assert [line["averaging"] for line in run.metrics()] == [False, False, True]


def test_keeps_and_scores_the_best_model(directory):
    run = runs.Run.open(directory)
    corpus = make_corpus()
    best = min(line["valid_perplexity"] for line in run.metrics())
    model = run.model()
    valid = perplexity(model, corpus.valid, batch_size=10, bptt=10).perplexity
    assert valid == pytest.approx(best, rel=1e-4)
    assert run.result["valid_perplexity"] == pytest.approx(valid, rel=1e-6)
    test = perplexity(model, corpus.test, batch_size=1, bptt=10).perplexity
    assert run.result["test_perplexity"] == pytest.approx(test, rel=1e-6)


def test_the_same_seed_gives_the_same_run(directory, tmp_path):
    first = runs.Run.open(directory)
    NTASGD()  # other optimizers of the process must have no effect
    runs.train(tmp_path / "same", make_corpus(), **{**SETTINGS, "epochs": 2})
    assert runs.Run.open(tmp_path / "same").config["optimizer"] == runs.Run.open(directory).config["optimizer"]
    same = runs.Run.open(tmp_path / "same")
    for one, other in zip(without_times(first.metrics()[:2]), without_times(same.metrics()), strict=True):
        assert one == pytest.approx(other, rel=1e-6)


@pytest.mark.once
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "large"}, "`preset` must be one of .*'tiny'.*'large'"),
        ({"epochs": 0}, "`epochs` must be .*0"),
        ({"batch_size": 1000}, "batch_size"),
        ({"model": {"weight_drop": 1.5}}, "`weight_drop` must be .*1.5"),
        ({"model": {"embeddings": [[0.5]]}}, r"`model` must not hold 'embeddings'.*Received: \['embeddings'\]"),
        ({"model": {"stateful": False}}, "`model` must not hold 'stateful', as a run reads its texts window by window"),
        ({"model": {"vocabulary_size": 5}}, "`model` must not hold 'vocabulary_size', which is that of the corpus"),
        ({"model": [1]}, r"`model` must be a dictionary.*Received: \[1\]"),
        ({"corpus": "text"}, "`corpus` must be a Corpus.*Received: 'text'"),
        ({"optimizer": {"learning_rate": -1.0}}, "`learning_rate`"),
    ],
)
def test_bad_input_leaves_the_old_run(directory, settings, message):
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(ValueError, match=message):
        runs.train(directory, overwrite=True, **{"corpus": make_corpus(), **SETTINGS, **settings})
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


@pytest.mark.once
@pytest.mark.parametrize("split", ["train", "valid", "test"])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda ids: np.where(ids == ids[-1], 9, ids), r"`{}` of the corpus must hold ids in \[0, 9\).*Received: 9"),
        (lambda ids: -1 - ids, r"`{}` of the corpus must hold ids in \[0, 9\).*Received: -"),
        (lambda ids: ids.astype("float32"), "must hold integers"),
    ],
)
def test_ids_that_no_word_has_leave_the_old_run(directory, split, wrong, message):
    corpus = make_corpus()
    setattr(corpus, split, wrong(getattr(corpus, split)))
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(ValueError, match=message.format(split)):
        runs.train(directory, corpus, overwrite=True, **SETTINGS)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


@pytest.mark.once
def test_a_run_is_not_replaced_unasked(directory):
    with pytest.raises(ValueError, match="already holds a run"):
        runs.train(directory, make_corpus(), **SETTINGS)


class Begun(Exception):
    pass


@pytest.mark.once
@pytest.mark.parametrize(("once", "remark"), [(4, False), (5, True)])
def test_a_text_most_of_whose_words_are_seen_once(tmp_path, monkeypatch, capsys, once, remark):
    """A text without spaces is an example. The remark comes before hours of training."""

    def fit(self, *arguments, **settings):
        raise Begun

    monkeypatch.setattr(AWDLSTM, "fit", fit)
    corpus = make_corpus()
    train = np.resize(np.arange(once, 9), 81).astype("int32")
    train[0] = 1
    valid = np.concatenate([np.arange(once), np.full(20, 8)]).astype("int32")
    corpus = Corpus(train, valid[valid != 1], train[1:], corpus.vocabulary)
    with pytest.raises(Begun):
        runs.train(tmp_path / "run", corpus, **{**SETTINGS, "verbose": 2})
    printed = capsys.readouterr().out
    assert " 9 words, 81 tokens to train on, 1 of them <unk>\n" in printed
    assert (f"\n{once} of the words occur only once" in printed) == remark
    assert ("--min-count 2" in printed) == remark


@pytest.mark.once
def test_too_short_a_split(tmp_path):
    corpus = make_corpus()
    corpus.test = corpus.test[:1]
    with pytest.raises(ValueError, match="too short"):
        runs.train(tmp_path / "run", corpus, **SETTINGS)
    assert not (tmp_path / "run").exists()


@pytest.mark.once
def test_another_seed_and_no_matplotlib(directory, tmp_path, monkeypatch, capsys):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find_spec(name))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    runs.train(tmp_path / "run", make_corpus(), **{**SETTINGS, "epochs": 1, "seed": 6})
    assert not (tmp_path / "run" / "curve.png").exists()
    told = capsys.readouterr().err
    assert told.count('pip install "awd-keras[plot]"') == 1
    assert len(told.splitlines()) == 1
    other = runs.Run.open(tmp_path / "run").metrics()[0]["train_perplexity"]
    assert other != runs.Run.open(directory).metrics()[0]["train_perplexity"]


class Reached(Exception):
    pass


@pytest.mark.once
@pytest.mark.parametrize("variable", [False, True])
def test_whether_lengths_vary_is_kept_by_a_run_that_is_resumed(tmp_path, monkeypatch, variable):
    seen = []

    def fit(self, dataset, **kwargs):
        seen.append(dataset.window_lengths(0).tolist())
        raise Reached

    monkeypatch.setattr(AWDLSTM, "fit", fit)
    corpus = make_corpus()
    with pytest.raises(Reached):
        runs.train(tmp_path / "run", corpus, **{**SETTINGS, "bptt": 8}, variable=variable)
    run = runs.Run.open(tmp_path / "run")
    assert run.config["variable"] is variable
    if variable:  # as in a run of an earlier version, without this setting
        run.write_config({name: value for name, value in run.config.items() if name != "variable"})
    with pytest.raises(Reached):
        runs.resume(tmp_path / "run", corpus)
    multiple = run.config["length_multiple"]
    dataset = BPTTDataset(corpus.train, 4, bptt=8, variable=variable, seed=5, length_multiple=multiple)
    lengths = dataset.window_lengths().tolist()
    assert (lengths == [8, 8, 4]) is not variable
    assert seen == [lengths, lengths]

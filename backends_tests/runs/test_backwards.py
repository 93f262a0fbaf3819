"""Runs that read their text from the end."""

import numpy as np
import pytest

from awd_keras import cli, evaluation, runs
from awd_keras.data import Corpus
from backends_tests.runs.small_run import SETTINGS, contents, differences, make_corpus, write_text

pytestmark = pytest.mark.once
SHORT = {**SETTINGS, "epochs": 2}


def test_the_run_is_that_of_the_text_turned_round(tmp_path):
    corpus = make_corpus()
    turned = Corpus(*(np.flip(ids).copy() for ids in (corpus.train, corpus.valid, corpus.test)), corpus.vocabulary)
    runs.train(tmp_path / "turned", turned, **SHORT)
    runs.train(tmp_path / "backwards", corpus, backwards=True, **{**SHORT, "epochs": 1})
    runs.resume(tmp_path / "backwards", corpus, epochs=2, verbose=0)
    found = [contents(tmp_path / name) for name in ("turned", "backwards")]
    configs = [each.pop("config.json")[0] for each in found]
    assert [config.pop("backwards") for config in configs] == [False, True]
    assert [config.pop("text_digest") for config in configs] == [turned.digest, corpus.digest]
    assert configs[0] == configs[1]
    assert differences(*found) == []
    # A fine-tuning has the run's settings, so it reads from the end too.
    runs.finetune(tmp_path / "backwards", tmp_path / "finer", corpus=corpus, epochs=1, verbose=0)
    assert runs.Run.open(tmp_path / "finer").setting("backwards") is True


def test_what_commands_say(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_text(tmp_path / "text")
    sizes = ["--embedding-dim", "6", "--hidden-units", "8", "--num-layers", "1"]
    command = ["train", "--data", "text", "--output", "run", "--backwards", "--epochs", "1", *sizes]
    assert cli.main(command) == 0
    capsys.readouterr()
    assert cli.main(["evaluate", "run"]) == 0
    said, valid, test = capsys.readouterr().out.splitlines()
    assert said == "The texts are read from the end: the run was trained with --backwards."
    run = runs.Run.open("run")
    corpus = runs.corpus_of(run)
    for line, ids, rows in ((valid, corpus.valid, 10), (test, corpus.test, 1)):
        expected = evaluation.perplexity(run.model(), np.flip(ids).copy(), rows, run.setting("bptt"))
        assert f"perplexity {expected.perplexity:.2f}" in " ".join(line.split())
    for name, options in (
        ("generate", []),
        ("next", []),
        ("score", ["--text", "text/test.txt"]),
        ("analyse", ["--text", "a b", "--output", "pictures"]),
    ):
        assert cli.main([name, "run", *options]) == 2
        assert capsys.readouterr().err == (
            f"awd-keras: error: Argument RUN must be a run that reads texts from the beginning, as {name} does. "
            "Received: 'run', which was trained with --backwards\n"
        )


def test_an_argument_that_is_no_boolean(tmp_path):
    with pytest.raises(ValueError, match="`backwards` must be a boolean. Received: backwards=1"):
        runs.train(tmp_path / "run", make_corpus(), **SHORT, backwards=1)

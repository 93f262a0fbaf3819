"""`examples/text_classification.py` and its study: no text is in two splits, and the classifiers are right."""

import gzip
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SMALL = {
    "model": {"embedding_dim": 4, "num_layers": 1},
    "learning_rate": 5.0,
    "batch_size": 4,
    "bptt": 10,
    "epochs": 1,
}


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    return importlib.import_module("text_classification")


@pytest.fixture
def study(example, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    return importlib.import_module("few_labels")


@pytest.fixture
def directory(example, tmp_path):
    """Lists of words as in the package: 40 for each language, one of two languages, and some that aren't words."""
    rng = np.random.default_rng(0)
    for number, code in enumerate(example.LANGUAGES):
        letters = "abcdefghijklmnopqr"[2 * number : 2 * number + 2]
        words = {"".join(rng.choice(list(letters), 8)) for _ in range(80)}
        counts = {word: 10 + place for place, word in enumerate(sorted(words)[:40])}
        counts |= {"both": 99, "abc": 98, "don't": 97} if number < 2 else {}
        (tmp_path / f"{code}.json.gz").write_bytes(gzip.compress(json.dumps(counts).encode()))
    return tmp_path


@pytest.fixture
def task(example, directory):
    return example.languages(example.word_lists(directory), valid=30, test=60)


def test_words_are_those_of_one_language_the_most_frequent_first(example, directory):
    lists = example.word_lists(directory)
    assert lists["de"][:3] == ["both", "abc", "don't"]
    task = example.languages(lists, most=10, valid=1, test=1)
    assert len(task.texts) == 90
    assert np.bincount(task.labels).tolist() == [10] * 9
    assert set(task.texts) & {"both", "abc", "don't"} == set()
    assert task.texts[20:30] == lists["es"][:10]


def test_no_text_of_the_test_is_read_before(example, task, monkeypatch):
    monkeypatch.setattr(example, "LABELLED", 50)
    assert [len(part) for part in (task.valid, task.test, task.labelled)] == [30, 60, 270]
    assert len({*task.valid, *task.test, *task.labelled}) == 360
    assert {task.texts[place] for place in task.labelled} == set(task.read)
    assert set(task.draw(3)) <= set(task.labelled)
    assert len(set(task.draw(3))) == 50
    assert task.draw(3).tolist() == task.draw(3).tolist() != task.draw(4).tolist()


def test_naive_bayes_by_hand(example):
    classes, texts, labels = ["a", "b"], ["x x", "x y", "z", "x"], [0, 1, 1, 0]
    task = example.split(classes, texts, labels, "word", valid=0, test=0)
    task = task._replace(labelled=np.array([0, 1, 2]))
    (told,) = example.naive_bayes(task, 0, longest=1, added=1.0)(np.array([3]))
    # The counts of `<eos>`, x, y and z are 2, 2, 0, 0 in class a and 4, 1, 1, 1 in b. One of the three texts is in a.
    logits = np.log([3 / 8 * 3 / 8 * 3 / 8, 5 / 11 * 5 / 11 * 2 / 11]) + np.log([2 / 5, 3 / 5])
    np.testing.assert_allclose(told, np.exp(logits) / np.exp(logits).sum(), rtol=1e-12)


def test_the_example_prints_a_share_for_each(example, task, monkeypatch, capsys):
    monkeypatch.setattr(example, "READING", SMALL)
    monkeypatch.setattr(example, "languages", lambda lists: task)
    monkeypatch.setattr(example, "word_lists", list)
    monkeypatch.setattr(example, "LABELLED", 30)
    settings = {name: {**of, "epochs": 2} if "epochs" in of else of for name, of in example.SETTINGS.items()}
    monkeypatch.setattr(example, "SETTINGS", {**settings, "keras": {**settings["keras"], "units": 8}})
    monkeypatch.setattr(sys, "argv", ["text_classification.py"])
    example.main()
    lines = capsys.readouterr().out.strip().splitlines()[-5:]
    assert [line.split()[0] for line in lines] == ["naive", "an", "the", "from", "from"]
    assert all(0 <= float(line.split()[-1]) <= 1 for line in lines)


TWEETS = """sentiment,confidence,text
negative,1,@United Late again! http://t.co/x
positive,0.5,@united late again! http://t.co/y
neutral,1,"@JetBlue, do you fly at 5?"
positive,1,What a day
"""


def test_tweets_are_cut_into_words_and_stand_once(study, monkeypatch, tmp_path):
    file = tmp_path / "tweets.csv"
    file.write_text(TWEETS, encoding="latin-1")
    monkeypatch.setattr(study.example, "split", lambda *arguments, **settings: (arguments, settings))
    (classes, texts, labels, unit), settings = study.tweets(file)
    assert (classes, unit) == (study.MOODS, "word")
    assert texts == ["@united late again ! <url>", "@jetblue , do you fly at 5 ?"]
    assert [classes[label] for label in labels] == ["negative", "neutral"]
    assert list(settings["more"]) == ["what a day"]


def test_the_study_runs_and_says_what_is_more_than_the_best_without(study, task, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(study.example, "LABELLED", 40)
    monkeypatch.setitem(study.TASKS, "languages", lambda: task)
    monkeypatch.setitem(study.READING, "languages", SMALL)
    small = {"epochs": 1, "units": 8, "hidden_units": []}
    for name, settings in study.FIRST.items():
        monkeypatch.setitem(study.FIRST, name, {**settings, **{key: small[key] for key in small if key in settings}})
    monkeypatch.setattr(study, "TRIED_ON", (100,))
    arguments = ["--task", "languages", "--output", str(tmp_path), "--trials", "1", "--seeds", "0", "1"]
    monkeypatch.setattr(sys, "argv", ["few_labels.py", *arguments])
    study.main()
    assert {path.name for path in tmp_path.glob("languages/*.keras")} == {"forward.keras", "backward.keras"}
    assert set(json.loads((tmp_path / "languages.json").read_text())) == set(study.NAMES)
    assert (tmp_path / "languages.png").stat().st_size > 5000
    table = capsys.readouterr().out.split("| --- | ---: | ---: | ---: |")[-1].strip().splitlines()
    shares = {name: line.split("|") for name, line in zip(study.NAMES, table, strict=True)}
    tests = {name: [1 - run["test"] for run in study.finals(tmp_path / "languages", name).values()] for name in shares}
    best = max(np.mean(tests[name]) for name in ("naive bayes", "logistic", "keras", "scratch"))
    for name, cells in shares.items():
        assert float(cells[2].split()[0]) == pytest.approx(np.mean(tests[name]), abs=6e-4)
        if name in ("classifier", "both"):
            assert float(cells[3].split()[0]) == pytest.approx(100 * (np.mean(tests[name]) - best), abs=0.06)
            assert 0 < float(cells[4].strip().rstrip("%")) <= 100


def test_both_are_the_mean_of_the_two(study, task, monkeypatch):
    monkeypatch.setattr(study.example, "LABELLED", 40)
    told = {False: np.eye(9)[[0] * 90], True: np.eye(9)[[1] * 90] * 1.5}
    classifier = lambda *_, backwards=False, **__: lambda places: told[backwards][: len(places)]  # noqa: E731
    monkeypatch.setattr(study.example, "classifier", classifier)
    run = study.contender("both", task, SMALL, None, None).run({}, 0, 0, True)
    assert run["test"] == pytest.approx(1 - np.mean(task.labels[task.test] == 1))

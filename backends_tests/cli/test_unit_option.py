"""Runs of characters and of bytes on the command line: prompts and texts are plain text, not separate letters."""

import json
import re
import shutil

import numpy as np
import pytest

from awd_keras import generation, runs
from awd_keras.analysis import analyse, report, write_analysis
from awd_keras.data import Corpus
from awd_keras.evaluation import score_texts, surprisal
from backends_tests.cli.test_cli import SIZES, error_of, run_main

pytestmark = pytest.mark.once

WORDS = ["der", "Käse", "und", "die", "Maus", "für"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for split, lines in (("train", 12), ("valid", 8), ("test", 6)):
        text = "".join(" ".join(rng.choice(WORDS, size=5)) + "\n" for _ in range(lines))
        (directory / f"{split}.txt").write_text(text, encoding="utf-8", newline="")
    return str(directory)


@pytest.fixture(scope="module", params=["character", "byte"])
def run(request, tmp_path_factory, data):
    directory = str(tmp_path_factory.mktemp("runs") / request.param)
    assert run_main("train", "--data", data, "--unit", request.param, "--output", directory, *SIZES) == 0
    return directory


def unit_of(run):
    return runs.Run.open(run).vocabulary().unit


def test_a_run_knows_its_unit(run, data):
    opened = runs.Run.open(run)
    unit = opened.vocabulary().unit
    assert run.endswith(unit)
    assert opened.setting("text") == {"directory": data, "unit": unit, "min_count": 1}
    assert runs.corpus_of(opened).digest == Corpus.from_directory(data, unit=unit).digest
    assert opened.result["unknown_tokens"] == {"train": 0, "valid": 0, "test": 0}


def test_resume(run, data, tmp_path, capsys):
    copy = shutil.copytree(run, tmp_path / "run")
    assert run_main("train", "--resume", str(copy), "--data", data, "--epochs", "2") == 0
    printed = capsys.readouterr().out
    named = f"{unit_of(run)}s"
    assert f"(counting {named} alone: " in printed
    assert f"; pairs of {named}: " in printed
    assert "Leave out: --unit" in error_of(capsys, "train", "--resume", str(copy), "--unit", "word")


def test_generate(run, capsys):
    """The prompt and the generated text are plain text, with spaces and line ends unchanged."""
    prompt = "für  die\nMaus"
    assert run_main("generate", run, "--prompt", prompt, "--words", "40", "--seed", "1") == 0
    text = capsys.readouterr().out
    opened = runs.Run.open(run)
    model, vocabulary = opened.model(), opened.vocabulary()
    assert text == generation.generate(model, vocabulary, prompt, max_words=40, seed=1) + "\n"
    assert text.startswith(prompt)
    rest = text[len(prompt) : -1]
    if vocabulary.unit == "character":
        assert len(rest) == 40
        # There are no spaces between letters.
        assert rest.count(" ") < 20
    # Without a prompt, a text begins on a new line, which isn't written.
    following = generation.generate(model, vocabulary, "\n", max_words=5, temperature=0)
    assert "\n" + generation.generate(model, vocabulary, "", max_words=5, temperature=0) == following
    beams = generation.generate(model, vocabulary, ["der Kä", "d"], max_words=4, num_beams=2)
    assert [beam[:1] for beam in beams] == ["d", "d"]
    stopped = generation.generate(model, vocabulary, "d", max_words=200, seed=1, stop="\n")
    assert "\n" not in stopped


def test_unknown_characters(run, capsys):
    said = error_of(capsys, "generate", run, "--prompt", "der Hund")
    assert "Option --prompt must hold words of the vocabulary only" in said
    assert "'H'" in said


def test_a_prompt_that_is_no_text(run, capsys):
    unit = runs.Run.open(run).vocabulary().unit
    for command in ("generate", "next"):
        said = error_of(capsys, command, run, "--prompt", "d\udcff")
        assert said.startswith("awd-keras: error: Option --prompt must ")
        assert ("UTF-8 can hold" in said) == (unit == "byte")


def test_next(run, capsys):
    assert run_main("next", run, "--prompt", "der Käs", "--words", "300") == 0
    lines = capsys.readouterr().out.splitlines()
    vocabulary = runs.Run.open(run).vocabulary()
    assert len(lines) == len(vocabulary)
    shown = {line.split("  ")[-1] for line in lines}
    assert {"' '", r"'\n'", "r"} <= shown


def test_score_and_surprisal(run, tmp_path, capsys):
    opened = runs.Run.open(run)
    model, vocabulary = opened.model(), opened.vocabulary()
    path = tmp_path / "lines.txt"
    path.write_text("der  Käse\n\n", encoding="utf-8")
    assert run_main("score", run, "--text", str(path)) == 0
    line, blank = capsys.readouterr().out.splitlines()
    (score,) = score_texts(model, vocabulary, ["der  Käse"])
    table = surprisal(model, vocabulary, "der  Käse")
    assert line.endswith(f"\t{score.words}\t0\tder  Käse")
    assert score.words == len(table) == (9 if vocabulary.unit == "character" else 10)
    assert score.log_probability == pytest.approx(-table.total_bits * np.log(2), rel=1e-5)
    assert "".join(table.words[:5]) == "der  "
    assert blank.endswith("\t0\t0\t")


def test_a_text_in_colours(run):
    """The text is shown unchanged, and each line end is marked."""
    opened = runs.Run.open(run)
    vocabulary = opened.vocabulary()
    table = surprisal(opened.model(), vocabulary, "der  und\ndie")
    _, _, *lines = table.ansi().splitlines()
    plain = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines]
    assert plain == [r"der  und'\n'", "die"]
    assert 'style="white-space: pre-wrap"' in table.html()
    assert r"'\n'</span><br>" in table.html().replace("&#x27;", "'")
    rows = str(table).splitlines()
    assert len(rows) == 1 + len(table)
    assert rows[4].endswith("  ' '")
    assert repr(table).startswith(f"SurprisalTable(12 {vocabulary.unit}s, ")


def test_evaluate_worst(run, data, capsys):
    assert run_main("evaluate", run, "--data", data, "--worst", "100") == 0
    printed = capsys.readouterr().out.splitlines()
    words = [line.split("  ")[-1] for line in printed[printed.index("") + 2 :]]
    assert r"'\n'" in words
    assert "' '" in words
    assert len(words) == len(set(words))


def test_analyse(run, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(report, "plot_gates", lambda gates, words, path: (drawn.append(words), path.touch()))
    opened = runs.Run.open(run)
    found = analyse(opened.model(), opened.vocabulary(), "die\n")
    assert found.words == ("d", "i", "e", "\n")
    for path in write_analysis(found, tmp_path):
        assert path.is_file()
    (figures,) = tmp_path.glob("*.json")
    assert json.loads(figures.read_text(encoding="utf-8"))["words"] == ["d", "i", "e", "\n"]
    assert drawn == [["d", "i", "e", r"'\n'"]]


def test_a_text_that_is_not_utf8(data, tmp_path, capsys):
    bad = shutil.copytree(data, tmp_path / "bad")
    (bad / "valid.txt").write_bytes(b"caf\xe9\n" * 9)
    arguments = ["train", "--data", str(bad), "--output", str(tmp_path / "run"), *SIZES]
    assert "--unit byte" in error_of(capsys, *arguments, "--unit", "character")
    assert run_main(*arguments, "--unit", "byte", "--overwrite") == 0


def test_an_unknown_unit(data, tmp_path, capsys):
    said = error_of(capsys, "train", "--data", data, "--output", str(tmp_path / "run"), "--unit", "letter")
    assert "Option --unit must be one of 'word', 'character', 'byte'. Received: 'letter'" in said


def test_a_run_that_starts_from_another_has_its_unit(run, data, tmp_path, capsys):
    """With another unit, it is refused: letters have no rows in a table of words."""
    output = str(tmp_path / "more")
    arguments = ["train", "--data", data, "--from", run, "--output", output, "--batch-size", "4", "--epochs", "1"]
    assert run_main(*arguments, "--bptt", "10") == 0
    assert unit_of(output) == unit_of(run)
    said = error_of(capsys, *arguments, "--unit", "word", "--overwrite")
    assert f"Option --from must be a run whose text is cut by word, as that of --output is. Received: '{run}'" in said

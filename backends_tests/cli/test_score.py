"""`awd-keras score` and `awd-keras next`."""

import io

import pytest

from awd_keras import cli, evaluation, generation, runs
from awd_keras.cli import model_commands
from awd_keras.data import Vocabulary
from awd_keras.models import AWDLSTM

pytestmark = pytest.mark.once

WORDS = ["<eos>", "<unk>", "the", "cat", "sat", "on", "mat"]
TEXTS = ["the cat sat", "", "the zebra", "on the mat the cat sat"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    model = AWDLSTM(len(WORDS), embedding_dim=4, hidden_units=4, num_layers=1, seed=1)
    model.build((3, None))
    run = runs.Run.create(tmp_path_factory.mktemp("run"), {}, Vocabulary(WORDS))
    run.write_model(model)
    return str(run.directory)


def expected(directory):
    run = runs.Run.open(directory)
    lines = []
    for found, text in zip(evaluation.score_texts(run.model(), run.vocabulary(), TEXTS), TEXTS, strict=True):
        figures = f"{found.log_probability:.4f}\t{found.perplexity:.4f}\t{found.words}\t{found.unknown_words}"
        lines.append(f"{figures}\t{text}\n")
    return "".join(lines)


@pytest.mark.parametrize("part", [1, 3, 4096])
def test_a_line_a_text(directory, monkeypatch, tmp_path, capsys, part):
    monkeypatch.setattr(model_commands, "_PART", part)
    path = tmp_path / "texts.txt"
    path.write_text("".join(f"{text}\n" for text in TEXTS), encoding="utf-8-sig")
    assert cli.main(["score", directory, "--text", str(path), "--batch-size", "2"]) == 0
    assert capsys.readouterr().out == expected(directory)
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(TEXTS)))
    assert cli.main(["score", directory]) == 0
    assert capsys.readouterr().out == expected(directory)


@pytest.mark.parametrize(
    ("options", "named"), [(["--text", "none.txt"], "none.txt"), (["--batch-size", "0"], "--batch-size")]
)
def test_bad_options_of_score(directory, capsys, options, named):
    assert cli.main(["score", directory, *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("awd-keras: error: ")
    assert named in error
    assert error.count("\n") == 1


def test_a_text_that_is_not_utf8(directory, tmp_path, capsys):
    path = tmp_path / "texts.txt"
    path.write_bytes(b"the \xff cat\n")
    assert cli.main(["score", directory, "--text", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"awd-keras: error: Option --text must be a text in UTF-8. Received: {path}: ")
    assert error.count("\n") == 1


def test_next_words(directory, capsys):
    run = runs.Run.open(directory)
    for options, context, k in (
        ([], "", 7),
        (["--prompt", "the zebra", "--words", "3"], "the zebra", 3),
    ):
        words = generation.next_words(run.model(), run.vocabulary(), context, k)
        assert cli.main(["next", directory, *options]) == 0
        told = capsys.readouterr()
        assert told.out == "".join(f"{share:8.4f}  {word}\n" for word, share in words)
        assert ("'zebra'" in told.err) == ("zebra" in context)
    assert cli.main(["next", directory, "--words", "0"]) == 2
    assert "--words" in capsys.readouterr().err

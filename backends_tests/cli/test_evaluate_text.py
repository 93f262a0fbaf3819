"""The texts that `awd-keras evaluate` reads, and how it reports words that the model doesn't know."""

import pytest

from awd_keras import cli, evaluation, runs
from awd_keras.data import Vocabulary
from awd_keras.models import AWDLSTM

pytestmark = pytest.mark.once

WORDS = ["<eos>", "<unk>", "the", "cat", "sat"]


def make_run(directory, words):
    model = AWDLSTM(len(words), embedding_dim=4, hidden_units=4, num_layers=1, seed=1)
    model.build((10, None))
    run = runs.Run.create(directory, {"preset": "tiny", "bptt": 40, "batch_size": 2}, Vocabulary(words))
    run.write_model(model)
    run.write_result({})
    return str(directory)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"), WORDS)


@pytest.fixture
def data(tmp_path):
    """A directory without train.txt, which isn't read, and without valid.txt."""
    (tmp_path / "test.txt").write_text("le chat dort\nthe cat\n" * 6, encoding="utf-8")
    return tmp_path


def error_of(capsys, *arguments):
    assert cli.main(["evaluate", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("awd-keras: error: ")
    assert error.count("\n") == 1
    return error


def test_what_is_there_is_scored_and_unknown_words_are_counted(run, data, capsys):
    assert cli.main(["evaluate", run, "--data", str(data)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    # The first of 42 tokens is unknown, and isn't predicted.
    assert line.startswith("test  perplexity ")
    assert "  tokens 41  <unk> 17 (41.5%)  batch size 1  " in line
    (data / "valid.txt").write_text("the cat sat\n" * 6, encoding="utf-8")
    assert cli.main(["evaluate", run, "--data", str(data)]) == 0
    valid, test = capsys.readouterr().out.splitlines()
    assert valid.startswith("valid perplexity ")
    assert "  <unk> 0 (0.0%)  batch size 10  " in valid
    assert test.partition("seconds")[0] == line.partition("seconds")[0]


def test_one_file(run, data, capsys):
    assert cli.main(["evaluate", run, "--text", str(data / "test.txt"), "--worst", "2"]) == 0
    line, _, _, *worst = capsys.readouterr().out.splitlines()
    opened = runs.Run.open(run)
    tokens = opened.vocabulary().encode(["le", "chat", "dort", "<eos>", "the", "cat", "<eos>"] * 6)
    score = evaluation.perplexity(opened.model(), tokens, bptt=40)
    assert line.startswith(f"text  perplexity {score.perplexity:.2f}  loss {score.loss:.4f}  ")
    assert "  <unk> 17 (41.5%)  " in line
    table = evaluation.surprisal(opened.model(), opened.vocabulary(), tokens, bptt=40)
    assert [row.split()[-1] for row in worst] == [cost.word for cost in table.worst(2)]


def test_what_is_missing(run, data, capsys):
    path = str(data)
    assert f"test.txt: {data / 'test.txt'} is missing" not in error_of(capsys, run, "--data", path, "--dynamic")
    assert f"with train.txt: {data / 'train.txt'} is missing" in error_of(capsys, run, "--data", path, "--dynamic")
    said = error_of(capsys, run, "--data", path, "--cache", "--tune")
    assert f"with valid.txt: {data / 'valid.txt'} is missing" in said
    (data / "test.txt").unlink()
    assert f"with valid.txt: {data / 'valid.txt'} is missing" in error_of(capsys, run, "--data", path)
    assert "none.txt" in error_of(capsys, run, "--text", str(data / "none.txt"))
    with pytest.raises(SystemExit, match="2"):
        cli.main(["evaluate", run, "--text", "a", "--data", "b"])
    assert "can't be given together with" in capsys.readouterr().err


def test_unknown_words_where_there_is_no_unk(tmp_path, data, capsys):
    run = make_run(tmp_path / "run", ["<eos>", "the", "cat", "sat", "le", "chat"])
    for arguments in (["--data", str(data)], ["--text", str(data / "test.txt")]):
        said = error_of(capsys, run, *arguments)
        assert said.startswith(f"awd-keras: error: Option {arguments[0]} must hold words of the vocabulary only")
        assert f"Received: 'dort' in {data / 'test.txt'}, line 1. " in said
        assert "--min-count 2" in said


def test_a_text_too_short(run, data, capsys):
    (data / "valid.txt").write_text("the cat\n", encoding="utf-8")
    said = error_of(capsys, run, "--data", str(data))
    assert "Option --data must have more than 10 tokens in its split 'valid', to be read in as many rows" in said
    assert "Received: 3 tokens" in said
    (data / "valid.txt").write_text("\n", encoding="utf-8")
    assert "Option --text must have more than 1 tokens, " in error_of(capsys, run, "--text", str(data / "valid.txt"))

"""Wrong input to each command: one line that names the option, what was expected and what came; exit status 2."""

import pytest

from awd_keras import cli, runs
from awd_keras.data import Vocabulary
from awd_keras.models import AWDLSTM

pytestmark = pytest.mark.once

WORDS = ["<eos>", "<unk>", "the", "cat", "sat"]
READS = ("evaluate", "score", "generate", "next")
NO_RUN = (("nothing", "is no directory"), ("file", "is no directory"), ("empty", "has no config.json"))
NEEDS_VALUE = "needs a value. One that begins with a dash is written as in --option=-value"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run and its text; and an empty directory and a file, which aren't runs."""
    folder = tmp_path_factory.mktemp("folder")
    (folder / "empty").mkdir()
    (folder / "file").write_text("", encoding="utf-8")
    (folder / "latin.txt").write_bytes(b"caf\xe9\n")
    (folder / "text").mkdir()
    for split in ("train", "valid", "test"):
        (folder / "text" / f"{split}.txt").write_text("the cat sat\n" * 6, encoding="utf-8")
    model = AWDLSTM(len(WORDS), embedding_dim=4, hidden_units=4, num_layers=1, seed=1)
    model.build((10, None))
    run = runs.Run.create(folder / "run", {"preset": "tiny", "bptt": 40, "batch_size": 2}, Vocabulary(WORDS))
    run.write_model(model)
    return folder


@pytest.fixture
def said(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)

    def said(*arguments):
        """The error line of a command, without its beginning."""
        try:
            status = cli.main(list(arguments))
        except SystemExit as stop:
            status = stop.code
        error = capsys.readouterr().err
        assert status == 2, error
        assert error.startswith("awd-keras: error: ")
        assert error.endswith("\n")
        assert error.count("\n") == 1
        return error.removeprefix("awd-keras: error: ").removesuffix("\n")

    return said


@pytest.mark.parametrize(("directory", "why"), NO_RUN)
def test_a_run_that_is_none(said, directory, why):
    expected = f"must be the directory of a run. Received: {directory!r}, which {why}"
    for command in (*READS, "finetune"):
        assert said(command, directory) == f"Argument RUN {expected}"
    assert said("analyse", directory, "--text", "the", "--output", "new") == f"Argument RUN {expected}"
    assert said("train", "--resume", directory) == f"Option --resume {expected}"
    assert said("train", "--from", directory, "--output", "new") == f"Option --from {expected}"
    # With --preset and --unit, nothing else needs the run.
    given = ["--preset", "tiny", "--unit", "word", "--data", "text"]
    assert said("train", "--from", directory, "--output", "new", *given) == f"Option --from {expected}"


def test_an_empty_path(said):
    """As from a shell variable that isn't set."""
    for command in (*READS, "finetune"):
        assert said(command, "") == "Argument RUN must be a path. Received: ''"
    assert said("train", "--resume", "") == "Option --resume must be a path. Received: ''"
    for option in ("--data", "--from", "--text-cache", "--output"):
        assert said("train", "--output", "new", option, "") == f"Option {option} must be a path. Received: ''"
    for option in ("--data", "--output"):
        assert said("finetune", "run", option, "") == f"Option {option} must be a path. Received: ''"
    for option in ("--data", "--text"):
        assert said("evaluate", "run", option, "") == f"Option {option} must be a path. Received: ''"
    assert said("score", "run", "--text", "") == "Option --text must be a path. Received: ''"
    assert said("analyse", "run", "--text", "the", "--output", "") == "Option --output must be a path. Received: ''"


@pytest.mark.parametrize("command", ["evaluate", "score"])
def test_a_text_that_cannot_be_read(said, command):
    expected = "Option --text must be a file that can be read. Received:"
    assert said(command, "run", "--text", "nothing") == f"{expected} 'nothing': no such file or directory"
    assert said(command, "run", "--text", "empty") == f"{expected} 'empty': is a directory"
    assert said(command, "run", "--text", "latin.txt").startswith("Option --text")


def test_a_text_that_is_empty(said):
    assert said("evaluate", "run", "--text", "file").startswith("Option --text: file is empty")


def test_data_that_cannot_be_read(said, folder):
    for name in ("nothing", "file", "empty"):
        assert said("train", "--output", "new", "--data", name).startswith("Option --data must be a directory with")
        assert said("evaluate", "run", "--data", name).startswith("Option --data must be a directory with")
    (folder / "bad").mkdir()
    for split in ("train", "valid", "test"):
        (folder / "bad" / f"{split}.txt").write_bytes(b"caf\xe9\n")
    assert said("train", "--output", "new", "--data", "bad").startswith("Option --data: bad/train.txt isn't UTF-8")
    assert said("evaluate", "run", "--data", "bad").startswith("Option --data: bad/valid.txt isn't UTF-8")


def test_a_place_that_cannot_be_written(said):
    expected = "must be a directory that can be written. Received:"
    train = ["train", "--data", "text"]
    assert said(*train, "--output", "file") == "Option --output must be a directory. Received: file, which is a file"
    assert said(*train, "--output", "file/new") == f"Option --output {expected} 'file/new': not a directory"
    assert said(*train, "--output", "run").startswith("Option --output: run already holds a run.")
    for name in ("file", "file/new"):
        told = said(*train, "--output", "new", "--text-cache", name)
        assert told == f"Option --text-cache {expected} {name!r}: not a directory"
    analyse = ["analyse", "run", "--text", "the"]
    assert said(*analyse, "--output", "file") == f"Option --output {expected} 'file': file exists"


def test_a_text_shorter_than_its_rows(said):
    told = said("train", "--output", "new", "--data", "text", "--batch-size", "1000")
    assert told.startswith("Option --data must hold more tokens than --batch-size")


def test_a_run_of_another_unit(said):
    told = said("train", "--from", "run", "--output", "new", "--data", "text", "--unit", "character")
    assert told == (
        "Option --from must be a run whose text is cut by character, as that of --output is. Received: 'run', "
        "whose text is cut by word"
    )


def test_values_of_another_type(said):
    assert said("train", "--output", "new", "--epochs", "x") == "Option --epochs must be an integer. Received: 'x'"
    assert said("train", "--output", "new", "--alpha", "x") == "Option --alpha must be a number. Received: 'x'"
    told = "Option --devices must be a positive integer, or all. Received: 'some'"
    assert said("train", "--output", "new", "--devices", "some") == told
    assert said("evaluate", "run", "--cache", "x") == "Option --cache must be an integer. Received: 'x'"
    assert said("next", "run", "--words", "1.5") == "Option --words must be an integer. Received: '1.5'"


def test_a_value_that_is_missing(said):
    assert said("train", "--output", "new", "--cell", "-srnn") == f"Option --cell {NEEDS_VALUE}"
    assert said("train", "--output") == f"Option --output {NEEDS_VALUE}"
    assert said("generate", "run", "--prompt") == f"Option --prompt {NEEDS_VALUE}"


def test_what_must_be_given(said):
    missing = "Argument COMMAND is missing. To list the commands: awd-keras --help"
    assert said() == missing
    assert said("--nonsense") == missing
    assert said("train") == "One of these options is required: --output --resume"
    assert said("train", "--output", "a", "--resume", "b") == "Option --resume can't be given together with --output"
    for command in (*READS, "finetune"):
        assert said(command) == "the following arguments are required: RUN"
        assert said(command, "run", "--nonsense") == "unknown option or argument: --nonsense"


def test_a_command_that_there_is_not(said):
    told = said("nonsense")
    assert told.startswith("Argument COMMAND must be one of ")
    assert told.endswith(" Received: 'nonsense'")


def test_a_backend_that_there_is_not(said, monkeypatch):
    names = "jax, torch, tensorflow"
    assert said("verify", "--backend", "zzz") == f"Option --backend must be one of {names}. Received: 'zzz'"
    assert said("verify", "--backend", "") == f"Option --backend must be one of {names}. Received: ''"
    told = said("verify", "--backend", "numpy")
    assert told == f"Option --backend must be one of {names}. Received: 'numpy', which can't train"
    told = said("evaluate", "run", "--backend", "zzz")
    assert told == f"Option --backend must be one of {names}, numpy. Received: 'zzz'"
    monkeypatch.setenv("KERAS_BACKEND", "zzz")
    told = said("verify")
    assert told == f"The environment variable KERAS_BACKEND must be one of {names}. Received: 'zzz'"

"""SIGINT and SIGTERM while `awd-keras train` runs in this process; faults.py sends them to other processes."""

import shutil
import signal

import keras
import pytest

from awd_keras import cli, evaluation, runs
from backends_tests.helpers import once
from backends_tests.runs.small_run import OPTIONS, contents, differences, write_text


@pytest.fixture(autouse=True)
def handlers():
    """Sets the signal handlers of a program in the foreground, and restores them afterwards."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def train(folder, *options):
    if not (folder / "data").exists():
        write_text(folder / "data")
    return cli.main(["train", "--data", str(folder / "data"), "--output", str(folder / "run"), *OPTIONS, *options])


def sender(number, owner, name, skip=0):
    """A function like `owner.name` that sends a signal in its middle, after `skip` calls; and its list of calls."""
    original, calls = getattr(owner, name), []

    def send(*args, **kwargs):
        calls.append(args)
        if len(calls) == skip + 1:
            signal.raise_signal(number)
        return original(*args, **kwargs)

    return send, calls


# Where the signal comes, how many earlier calls are skipped, and how many epochs are finished then.
@pytest.mark.parametrize(
    ("number", "owner", "name", "skip", "epochs"),
    [
        (signal.SIGTERM, keras.callbacks.CallbackList, "on_train_batch_begin", 2, 1),
        *once(
            (signal.SIGINT, keras.callbacks.CallbackList, "on_test_batch_begin", 0, 0),
            (signal.SIGINT, runs.Checkpoints, "write", 1, 1),
            (signal.SIGTERM, evaluation, "perplexity", 1, 2),
        ),
    ],
)
def test_ends_when_the_step_is_over(tmp_path, monkeypatch, capsys, number, owner, name, skip, epochs):
    send, calls = sender(number, owner, name, skip)
    monkeypatch.setattr(owner, name, send)
    assert train(tmp_path, "--epochs", "2") == 128 + number
    # Nothing runs after the step, the window, the write or the scoring in which the signal came.
    assert len(calls) == skip + 1
    captured = capsys.readouterr()
    assert captured.err == (
        f"awd-keras: stopped by {signal.Signals(number).name}; kept {tmp_path}/run/checkpoint-{epochs}.keras; "
        f"to go on: awd-keras train --resume {tmp_path}/run\n"
    )
    assert not list((tmp_path / "run").glob(".writing-*"))
    assert runs.Checkpoints(tmp_path / "run").paths()[0].name == f"checkpoint-{epochs}.keras"


@pytest.mark.once
def test_goes_on_from_the_command_line(tmp_path, monkeypatch, capsys):
    assert train(tmp_path, "--epochs", "2") == 0
    expected = contents(tmp_path / "run")
    printed = capsys.readouterr().out.splitlines()[-3:]
    shutil.rmtree(tmp_path / "run")
    send, _ = sender(signal.SIGTERM, keras.callbacks.CallbackList, "on_train_batch_begin", 2)
    with monkeypatch.context() as patch:
        patch.setattr(keras.callbacks.CallbackList, "on_train_batch_begin", send)
        assert train(tmp_path, "--epochs", "2") == 143
    run = str(tmp_path / "run")
    for option in (["--seed", "0"], ["--weight-drop", "0"], ["--preset", "tiny"], ["--overwrite"]):
        capsys.readouterr()
        assert cli.main(["train", "--resume", run, *option]) == 2
        assert capsys.readouterr().err == (
            f"awd-keras: error: Option --resume keeps the settings of the run. Leave out: {option[0]}\n"
        )
    # The text has been moved.
    shutil.move(tmp_path / "data", tmp_path / "moved")
    assert cli.main(["train", "--resume", run]) == 2
    assert str(tmp_path / "data") in capsys.readouterr().err
    assert cli.main(["train", "--resume", run, "--data", str(tmp_path / "moved")]) == 0
    assert capsys.readouterr().out.splitlines()[-3:] == printed
    assert differences(contents(tmp_path / "run"), expected) == []


@pytest.mark.once
def test_there_is_no_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "--resume", str(tmp_path / "none")]) == 2
    assert "Option --resume must be the directory of a run" in capsys.readouterr().err


@pytest.mark.once
def test_before_anything_is_trained(monkeypatch, capsys, tmp_path):
    def read(*_):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("awd_keras.cli.train_commands.read_corpus", read)
    assert train(tmp_path) == 130
    assert capsys.readouterr().err == "awd-keras: stopped by SIGINT\n"


@pytest.mark.once
def test_a_handler_that_is_not_python_s_is_left_alone(monkeypatch):
    """Python returns None for it, and couldn't restore it."""
    with monkeypatch.context() as patch:
        patch.setattr(signal, "getsignal", lambda number: None)
        stop = runs.StopOnSignal().__enter__()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    stop.__exit__()


@pytest.mark.once
def test_what_is_ignored_stays_ignored_and_a_second_signal_is_not_caught():
    """`nohup` ignores signals; and a user who sends a second one doesn't want to wait."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with runs.StopOnSignal():
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stop = runs.StopOnSignal()
    with stop:
        stop.on_train_begin()
        signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        with pytest.raises(runs.Interrupted, match="SIGINT"):
            stop.on_epoch_begin(0)

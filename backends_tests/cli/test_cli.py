import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

from awd_keras import cli, verification
from awd_keras.cli.main import BACKENDS
from awd_keras.verification import Check, masks

WORDS = ["the", "cat", "dog", "sat", "ran", "on", "under", "a", "mat", "tree", "and", "saw", "bird"]
SIZES = [
    *("--embedding-dim", "8", "--hidden-units", "12", "--num-layers", "1"),
    *("--batch-size", "4", "--bptt", "10", "--epochs", "1"),
]


def write_text(directory, unknown="<unk>"):
    directory.mkdir()
    rng = np.random.default_rng(0)
    for split, lines in (("train", 12), ("valid", 20), ("test", 8)):
        text = "\n".join(" ".join(rng.choice([*WORDS, unknown], size=6)) for _ in range(lines))
        (directory / f"{split}.txt").write_text(text + "\n", encoding="utf-8")
    return str(directory)


def run_main(*arguments):
    try:
        return cli.main(list(arguments))
    except SystemExit as stop:
        return stop.code


def error_of(capsys, *arguments):
    """The error line of a command with bad input."""
    assert run_main(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("awd-keras: error: ")
    assert captured.err.endswith("\n")
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.out
    return captured.err


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("data") / "text")


@pytest.fixture(scope="module")
def run(tmp_path_factory, data):
    directory = str(tmp_path_factory.mktemp("runs") / "run")
    assert run_main("train", "--data", data, "--output", directory, *SIZES, "--clip", "0.5") == 0
    return directory


def test_train_writes_a_run(run):
    assert sorted(os.listdir(run)) == [
        "checkpoint-0.keras",
        "checkpoint-1.keras",
        "config.json",
        "curve.png",
        "metrics.jsonl",
        "model.keras",
        "result.json",
        "vocabulary.json",
    ]
    with open(os.path.join(run, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    assert config["backend"] == keras.backend.backend()
    assert config["model"]["embedding_dim"] == 8
    assert config["model"]["hidden_units"] == 12
    assert config["model"]["num_layers"] == 1
    assert config["optimizer"]["global_clipnorm"] == 0.5
    assert (config["batch_size"], config["bptt"], config["epochs"]) == (4, 10, 1)


@pytest.mark.once
def test_a_result_is_beside_what_counting_words_comes_to(run, data, monkeypatch, capsys):
    from awd_keras import data as texts
    from awd_keras import evaluation
    from awd_keras.cli import training_report

    assert cli.main(["train", "--resume", run]) == 0
    corpus = texts.Corpus.from_directory(data)
    words, pairs = (
        evaluation.ngram_perplexity(corpus.train, corpus.test, len(corpus.vocabulary), order) for order in (1, 2)
    )
    printed = capsys.readouterr().out
    assert f"(counting words alone: {words:.2f}; pairs of words: {pairs:.2f})\n" in printed
    assert f"learning curve    {os.path.join(run, 'curve.png')}\n" in printed
    assert f"to write with it  awd-keras generate {run} --prompt TEXT\n" in printed
    monkeypatch.setattr(training_report, "_COUNTED", len(corpus.train) - 1)
    assert cli.main(["train", "--resume", run]) == 0
    assert "counting" not in capsys.readouterr().out


@pytest.mark.once
def test_every_option_reaches_train(monkeypatch, data, run, tmp_path, capsys):
    from awd_keras import runs

    called = {}

    def train(output, corpus, preset, **settings):
        called.update(
            settings, output=output, preset=preset, words=len(corpus.vocabulary), cache=corpus.source["cache"]
        )
        return {
            "backend": "none",
            "triggered_epoch": 7,
            "skipped_steps": 11,
            "tokens_per_second": 10.0,
            "valid_perplexity": 61.234,
            "test_perplexity": None,
        }

    monkeypatch.setattr(runs, "train", train)
    model = {
        "embedding_dim": 1,
        "hidden_units": 2,
        "num_layers": 3,
        "input_dropout": 0.1,
        "hidden_dropout": 0.2,
        "output_dropout": 0.3,
        "embedding_dropout": 0.4,
        "weight_drop": 0.5,
        "alpha": 0.6,
        "beta": 0.7,
        "cell": "-srnn",
        "dtype": "mixed_bfloat16",
    }
    optimizer = {"learning_rate": 1.0, "weight_decay": 0.1, "non_monotone_interval": 9}
    others = {"epochs": 4, "batch_size": 5, "bptt": 6, "seed": 8, "length_multiple": 2, "devices": 3}
    options = {**model, **optimizer, "clip": 0.9, **others}
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    arguments += ["--optimizer", "ntasgd", "--learning-rate-drops", "3", "4", "--from", run]
    cache = str(tmp_path / "cache")
    arguments += ["--data", data, "--output", "RUN", "--preset", "ptb", "--overwrite", "--skip-nonfinite"]
    arguments.append("--backwards")
    assert run_main("train", *arguments, "--min-count", "100000", "--text-cache", cache) == 0
    assert called == {
        "output": "RUN",
        "words": 2,
        "cache": cache,
        "preset": "ptb",
        "start_from": run,
        "model": model,
        "optimizer": {**optimizer, "name": "ntasgd", "global_clipnorm": 0.9},
        "learning_rate_drops": [3, 4],
        "overwrite": True,
        "skip_nonfinite": True,
        "backwards": True,
        "verbose": 2,  # one line for each epoch, as this isn't a terminal
        **others,
    }
    printed = capsys.readouterr().out
    assert "61.23" in printed
    assert "averaging         since the end of epoch 7\n" in printed
    assert "skipped steps     11\n" in printed
    assert "diverged" in printed
    assert "RUN" in printed


def test_evaluate(run, data, capsys):
    assert run_main("evaluate", run, "--data", data) == 0
    lines = capsys.readouterr().out.splitlines()
    with open(os.path.join(run, "result.json"), encoding="utf-8") as file:
        result = json.load(file)
    for line, split in zip(lines, ("valid", "test"), strict=True):
        assert line.startswith(f"{split:5} perplexity {result[f'{split}_perplexity']:.2f} ")


@pytest.mark.once
def test_evaluate_says_that_a_run_is_not_finished(run, tmp_path, capsys):
    assert run_main("evaluate", run) == 0
    assert capsys.readouterr().err == ""
    unfinished = tmp_path / "unfinished"
    shutil.copytree(run, unfinished)
    (unfinished / "result.json").unlink()
    assert run_main("evaluate", str(unfinished)) == 0
    said = f"awd-keras: the run in {unfinished} isn't finished; this is its best model so far\n"
    assert capsys.readouterr().err == said


@pytest.mark.once
def test_evaluate_takes_the_run_s_own_text(run, data, capsys):
    def scores():
        return [line.partition("seconds")[0] for line in capsys.readouterr().out.splitlines()]

    assert run_main("evaluate", run, "--data", data) == 0
    given = scores()
    assert run_main("evaluate", run) == 0
    assert scores() == given


@pytest.mark.once
def test_an_option_is_no_other_that_begins_alike(run, capsys):
    assert "--word" in error_of(capsys, "generate", run, "--word", "3")


@pytest.mark.once
def test_whoever_reads_may_have_enough(run):
    """A reader such as `head` may close the pipe early."""
    command = [sys.executable, "-m", "awd_keras", "generate", run, "--words", "20000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(5)
        process.stdout.close()
        said = process.stderr.read().decode()
    assert process.returncode == 0
    assert "Broken pipe" not in said


@pytest.mark.once
@pytest.mark.parametrize(
    ("redirection", "status", "message"),
    [("> /dev/full", 2, "awd-keras: error: [Errno 28] No space left on device\n"), ("| true", 0, "")],
)
def test_an_output_that_takes_nothing(run, redirection, status, message):
    """What is printed stays in a buffer until the command is over."""
    command = f"{shlex.join([sys.executable, '-m', 'awd_keras', 'next', str(run)])} {redirection}"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    shell = ["bash", "-o", "pipefail", "-c", command]
    process = subprocess.run(shell, env=buffered, stderr=subprocess.PIPE, text=True)
    assert (process.returncode, process.stderr) == (status, message)


def test_generate(run, capsys):
    arguments = ["generate", run, "--prompt", "the zebra", "--words", "6", "--seed", "1"]
    assert run_main(*arguments, "--temperature", "0.8") == 0
    text = capsys.readouterr().out
    assert text.startswith("the zebra")
    assert len(text.removesuffix("\n").replace("\n", " <eos> ").split()) == 2 + 6
    assert run_main(*arguments, "--temperature", "0.8") == 0
    assert capsys.readouterr().out == text


@pytest.mark.once
def test_verify(monkeypatch, capsys):
    checks = [Check("first", True, "0.5", "near 0.5"), Check("second", True, "0", "must be 0")]
    monkeypatch.setattr(verification, "verify", lambda: checks)
    assert run_main("verify") == 0
    assert "2 of 2 checks passed" in capsys.readouterr().out
    checks[1] = checks[1]._replace(passed=False, figure="0.25")
    assert run_main("verify") == 1
    printed = capsys.readouterr().out
    assert "FAILED  second  0.25" in printed
    assert "1 of 2 checks passed" in printed


def test_verify_fails_where_nothing_is_dropped(monkeypatch, capsys):
    # All checks run in verification/test_verify.py.
    monkeypatch.setattr(verification, "verify", lambda: [masks._gradient_matches()])
    assert run_main("verify") == 0
    monkeypatch.setattr("awd_keras.layers.recurrent._dropped", lambda tensor, rate, seed: tensor)
    assert run_main("verify") == 1
    assert "0.000 dropped" in capsys.readouterr().out


@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--weight-drop", "1.5"], "Option --weight-drop must be a number in [0, 1). Received: 1.5"),
        (["--input-dropout", "-0.1"], "--input-dropout"),
        (["--hidden-units", "0"], "--hidden-units"),
        (["--num-layers", "-1"], "--num-layers"),
        (["--cell=-rnn"], "Option --cell must be one of 'lstm', '-srnn', '-srnn-out', '-srnn-hidden', '-gates'"),
        (["--dtype", "bfloat16"], "Option --dtype must be one of 'float32', 'mixed_bfloat16'. Received: 'bfloat16'"),
        (["--batch-size", "0"], "--batch-size"),
        (["--batch-size", "100000"], "100000"),
        (["--bptt", "0"], "--bptt"),
        (["--epochs", "0"], "--epochs"),
        (["--length-multiple", "0"], "--length-multiple"),
        (["--learning-rate", "-1"], "--learning-rate"),
        (["--optimizer", "rmsprop"], "Option --optimizer must be one of 'ntasgd', 'sgd', 'adam'. Received: 'rmsprop'"),
        (["--optimizer", "adam", "--non-monotone-interval", "3"], "Option --non-monotone-interval must be left out"),
        (["--optimizer", "adam", "--learning-rate", "-1"], "Option --learning-rate must be"),
        (["--optimizer", "sgd", "--clip", "-1"], "Option --clip must be"),
        (["--optimizer", "sgd", "--weight-decay", "-1"], "Option --weight-decay must be"),
        (["--optimizer", "sgd", "--skip-nonfinite"], "Option --skip-nonfinite needs the optimizer NTASGD"),
        (["--learning-rate-drops", "2", "0"], "Option --learning-rate-drops must be a list of epochs"),
        (["--learning-rate-drops", "4", "3"], "ascending order. Received: [4, 3]"),
        (["--min-count", "0"], "--min-count"),
        (["--seed", "-1"], "--seed"),
        (["--preset", "large"], "'large'"),
        (["--preset", ""], "Received: ''"),
        (["--output", ""], "Option --output must be a path"),
        (["--backend", "theano"], "'theano'"),
        (["--epochs", "many"], "many"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_bad_options(tmp_path, data, capsys, options, named):
    arguments = ["train", "--data", data, "--output", str(tmp_path / "run"), *SIZES, *options]
    assert named in error_of(capsys, *arguments)
    assert not (tmp_path / "run").exists()


@pytest.mark.once
def test_bad_data(tmp_path, capsys):
    output = ["--output", str(tmp_path / "run")]
    assert "--text-cache needs --data" in error_of(capsys, "train", "--text-cache", str(tmp_path / "cache"), *output)
    (tmp_path / "empty").mkdir()
    for name in ("missing", "empty"):
        path = str(tmp_path / name)
        assert path in error_of(capsys, "train", "--data", path, *output)
    for content, named in ((b"", "valid.txt is empty"), (b"caf\xe9\n", "valid.txt isn't UTF-8")):
        shutil.rmtree(tmp_path / "bad", ignore_errors=True)
        path = write_text(tmp_path / "bad")
        (tmp_path / "bad" / "valid.txt").write_bytes(content)
        assert named in error_of(capsys, "train", "--data", path, *output)
    (tmp_path / "bad" / "valid.txt").write_text("a\n", encoding="utf-8")
    assert "too short" in error_of(capsys, "train", "--data", path, *output)


@pytest.mark.once
def test_runs_are_not_replaced_unasked(run, data, capsys):
    said = error_of(capsys, "train", "--data", data, "--output", run, *SIZES)
    assert "already holds a run" in said
    assert "--overwrite" in said


@pytest.mark.once
def test_bad_runs(run, data, tmp_path, capsys):
    nowhere = str(tmp_path / "nowhere")
    assert nowhere in error_of(capsys, "evaluate", nowhere, "--data", data)
    assert nowhere in error_of(capsys, "generate", nowhere)
    broken = tmp_path / "broken"
    shutil.copytree(run, broken)
    (broken / "vocabulary.json").write_text('{"words": ["a"]}', encoding="utf-8")
    assert "vocabulary.json doesn't fit" in error_of(capsys, "generate", str(broken))
    (broken / "config.json").write_text("{", encoding="utf-8")
    assert "config.json is not JSON" in error_of(capsys, "generate", str(broken))


@pytest.mark.once
def test_a_prompt_of_unknown_words(tmp_path, capsys):
    from awd_keras import runs
    from awd_keras.data import Vocabulary
    from awd_keras.models import AWDLSTM

    model = AWDLSTM(2, embedding_dim=4, hidden_units=4, num_layers=1)
    model.build((1, None))
    run = runs.Run.create(tmp_path, {}, Vocabulary(["<eos>", "a"]))
    run.write_model(model)
    assert "'zebra'" in error_of(capsys, "generate", str(tmp_path), "--prompt", "a zebra")
    said = error_of(capsys, "generate", str(tmp_path), "--prompt", "a", "--temperature", "-1")
    assert "--temperature" in said


def without(monkeypatch, *missing):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else find_spec(name))


@pytest.mark.once
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_that_is_not_installed(monkeypatch, capsys, backend):
    without(monkeypatch, backend)
    said = error_of(capsys, "verify", "--backend", backend)
    assert said.startswith(f"awd-keras: error: Option --backend is '{backend}', which needs {backend}")
    assert f'pip install "awd-keras[{backend}]"' in said


@pytest.mark.once
def test_keras_is_imported_with_another_backend(monkeypatch, capsys):
    loaded = keras.backend.backend()
    other = next(name for name in BACKENDS if name != loaded)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    said = error_of(capsys, "verify", "--backend", other)
    assert f"'{other}'" in said
    assert f"'{loaded}'" in said


@pytest.mark.once
def test_which_backend_is_chosen(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "keras")
    installed = {"torch", "tensorflow"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in installed else None)
    monkeypatch.setattr("awd_keras.cli.model_commands.run_verify", lambda options: 0)

    def chosen(*arguments, variable=None):
        monkeypatch.delenv("KERAS_BACKEND", raising=False)
        if variable:
            monkeypatch.setenv("KERAS_BACKEND", variable)
        assert run_main("verify", *arguments) == 0
        return os.environ["KERAS_BACKEND"]

    assert chosen() == "torch"
    assert chosen(variable="tensorflow") == "tensorflow"
    assert chosen("--backend", "torch", variable="tensorflow") == "torch"
    installed.clear()
    monkeypatch.delenv("KERAS_BACKEND")
    said = error_of(capsys, "verify")
    assert "awd-keras[jax]" in said


@pytest.mark.once
def test_help_is_quick_and_imports_no_keras():
    code = (
        "import runpy, sys; sys.argv = ['awd-keras', '--help']\n"
        "try: runpy.run_module('awd_keras', run_name='__main__')\n"
        "except SystemExit as stop: assert stop.code in (0, None)\n"
        "assert 'keras' not in sys.modules"
    )
    help_ = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for command in ("train", "evaluate", "generate", "verify"):
        assert command in help_.stdout
    module = [sys.executable, "-m", "awd_keras", "--help"]
    same = subprocess.run(module, capture_output=True, text=True, check=True)
    assert same.stdout == help_.stdout

"""Runs everything that the guide of cells says works with each cell, each softmax and untied weights."""

import ast
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from keras import ops

from awd_keras import analysis, evaluation, generation, runs
from awd_keras.models import AWDLSTM, inference_step
from backends_tests.backend import several_devices
from backends_tests.backend.several_devices import BACKEND, DEVICES
from backends_tests.backend.test_devices import finish, start
from backends_tests.helpers import draw_weights
from backends_tests.runs.small_run import SETTINGS, contents, copies_after_each_epoch, differences, make_corpus

PAGE = Path(__file__).parents[2].joinpath("docs/guides/cells.md")


def promises():
    """The arguments of `AWDLSTM` in each row of the guide's table, and the promise of each column."""
    section = PAGE.read_text(encoding="utf-8").partition("## What works with each")[2]
    head, _, *lines = [re.split(r" *\| *", line)[1:-1] for line in section.splitlines() if line.startswith("|")]
    found = {}
    for row, *cells in lines:
        call = ast.parse(f"f({row.strip('`')})", mode="eval").body
        arguments = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
        found[row.strip("`")] = arguments, dict(zip(head[1:], cells, strict=True))
    return found


PROMISES = promises()
# Rows that run daily on each backend. The tests of the LSTM are elsewhere.
EVERY_DAY = ['cell="qrnn"', 'cell="mogrifier"', 'cell="gru", tie_weights=False, softmax="adaptive"']


@pytest.fixture(
    scope="module",
    params=[*EVERY_DAY, *(pytest.param(row, marks=pytest.mark.thorough) for row in PROMISES if row not in EVERY_DAY)],
)
def row(request):
    return request.param


@pytest.fixture(scope="module")
def run(row, tmp_path_factory):
    """A run of two epochs, which is resumed after the first one."""
    folder = tmp_path_factory.mktemp("runs")
    model = {"embedding_dim": 6, "hidden_units": 8, "num_layers": 2, **PROMISES[row][0]}
    with copies_after_each_epoch(folder):
        runs.train(folder / "whole", make_corpus(), **{**SETTINGS, "model": model, "epochs": 2})
    return runs.Run.open(folder / "whole")


def test_the_columns_are_those_that_are_tested():
    columns = ("resume", "generation", "cache", "dynamic evaluation", "inference step", "several devices", "analysis")
    for _, cells in PROMISES.values():
        assert tuple(cells) == columns
        assert set(cells.values()) <= {"yes", "no"}
        assert {cells[column] for column in columns[:-1]} == {"yes"}
    assert {arguments.get("cell") for arguments, _ in PROMISES.values()} >= {"lstm", "gru", "qrnn", "mogrifier"}


def test_resume_is_bit_for_bit(run, tmp_path):
    stopped = shutil.copytree(run.directory.parent / "after-1", tmp_path / "run")
    runs.resume(stopped, make_corpus(), verbose=0)
    assert differences(contents(run.directory), contents(stopped)) == []


def test_evaluation_cache_and_dynamic_evaluation(run):
    """With a share or a learning rate of 0, both give the plain perplexity; otherwise they don't."""
    model, tokens = run.model(), make_corpus().test
    plain = evaluation.perplexity(model, tokens, bptt=10).perplexity
    logits = ops.convert_to_numpy(model.predict(tokens[None, :-1], verbose=0)).astype("float64")[0]
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert plain == pytest.approx(np.exp(-log_p[np.arange(len(log_p)), tokens[1:]].mean()), rel=1e-4)
    for interpolation in (0.0, 0.3):
        mixed = evaluation.cache_perplexity(model, tokens, window=5, interpolation=interpolation, bptt=10).perplexity
        assert (mixed == pytest.approx(plain, rel=1e-5)) == (interpolation == 0)
    rms = evaluation.gradient_rms(model, tokens, batch_size=1, bptt=10)
    for rate in (0.0, 0.01):
        score = evaluation.dynamic_perplexity(model, tokens, learning_rate=rate, decay=0.0, rms=rms, bptt=10)
        assert (score.perplexity == pytest.approx(plain, rel=1e-5)) == (rate == 0)


def test_generation_and_the_inference_step(run):
    """Word by word, with a carried state or one that is passed on, the result is that of one window."""
    model, vocabulary = run.model(), make_corpus().vocabulary
    draw_weights(model, np.random.default_rng(3), 0.5)
    text = generation.generate(model, vocabulary, "a b c", max_words=5, temperature=0.0, allow_unknown=True)
    ids = vocabulary.encode(vocabulary.cut(text))[None]
    logits = ops.convert_to_numpy(model.predict(ids, verbose=0))
    written = logits[0, 2:-1].argmax(axis=1)
    np.testing.assert_array_equal(written, ids[0, 3:])
    step = inference_step(model)
    state = [np.zeros((1, *tensor.shape[1:]), "float32") for tensor in step.inputs[1:]]
    for number in range(ids.shape[1]):
        found, *state = map(ops.convert_to_numpy, step([ids[:, number : number + 1], *state]))
        np.testing.assert_allclose(found[:, 0], logits[:, number], atol=1e-4)


def test_analysis_or_why_not(run, row):
    model, vocabulary = run.model(), make_corpus().vocabulary
    if PROMISES[row][1]["analysis"] == "yes":
        found = analysis.analyse(model, vocabulary, "a b c")
        x = model.embedding(vocabulary.encode(["a", "b", "c"])[None])
        outputs = ops.convert_to_numpy(model.lstms[0](x))
        np.testing.assert_allclose(found.layers[0].gates.h, outputs, atol=1e-5)
        return
    with pytest.raises(ValueError, match="Argument `layer` must (be a|be an|have) .*Received: layer=<"):
        analysis.analyse(model, vocabulary, "a b c")


@pytest.mark.thorough
def test_several_devices_follow_one(row, tmp_path):
    """Without masks, which each device draws separately."""
    model = {"embedding_dim": 4, "hidden_units": 6, "num_layers": 2, **PROMISES[row][0]}
    process = start("train", tmp_path / "several", repr(model))
    one = several_devices.train(tmp_path / "one", model)
    finish(process)
    several = runs.Run.open(tmp_path / "several")
    assert several.setting("devices") == DEVICES[BACKEND]
    assert several.result["valid_perplexity"] == pytest.approx(one["valid_perplexity"], rel=1e-4)


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell": "rnn"}, "`cell` must be one of 'lstm', .*'gru', 'qrnn', 'mogrifier'. Received: cell='rnn'"),
        ({"softmax": "hierarchical"}, "`softmax` must be one of 'full', 'adaptive'. Received: softmax='hierarchical'"),
        ({"softmax": None}, "`softmax` must be one of .* Received: softmax=None"),
        ({"tie_weights": 1}, "`tie_weights` must be a boolean. Received: tie_weights=1"),
    ],
    ids=str,
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        AWDLSTM(9, **arguments)


@pytest.mark.once
def test_on_the_command_line(tmp_path):
    from awd_keras import cli
    from backends_tests.runs.small_run import OPTIONS, write_text

    write_text(tmp_path / "text")
    options = ["--cell", "gru", "--no-tie-weights", "--softmax", "adaptive", *OPTIONS, "--epochs", "1"]
    arguments = ["train", "--data", str(tmp_path / "text"), "--output", str(tmp_path / "run"), *options]
    assert cli.main(arguments) == 0
    model = runs.Run.open(tmp_path / "run").model()
    assert (model.cell, model.tie_weights, model.softmax) == ("gru", False, "adaptive")

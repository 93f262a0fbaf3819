"""The validation windows of a run, and the notice that something is compiled."""

import threading
import time

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from awd_keras import runs
from awd_keras.data import BPTTDataset
from awd_keras.evaluation import perplexity
from awd_keras.models import AWDLSTM
from awd_keras.runs import recording
from awd_keras.runs.fitting import _FilledWindows
from awd_keras.runs.recording import CompilationNotice
from backends_tests.runs.small_run import SETTINGS, make_corpus


@pytest.mark.once
@given(size=st.integers(2, 3000), rows=st.integers(1, 12), bptt=st.integers(1, 90))
def test_filled_windows_have_one_length_and_every_target_once(size, rows, bptt):
    assume(size > rows)
    tokens = np.arange(size)
    windows = list(_FilledWindows(tokens, rows, bptt))
    n = (size - 1) // rows
    assert len({x.shape for x, _, _ in windows}) == 1
    x, y, weights = (np.concatenate(arrays, axis=1) for arrays in zip(*windows, strict=True))
    np.testing.assert_array_equal(weights, np.broadcast_to(np.arange(weights.shape[1]) < n, weights.shape))
    np.testing.assert_array_equal(x[:, :n].ravel(), tokens[: n * rows])
    np.testing.assert_array_equal(y[:, :n].ravel(), tokens[1 : n * rows + 1])
    # The padding of each possible length, whose minimum is expected. A single window needs no padding.
    fills = [0] if n <= bptt else [-n % length for length in range(bptt // 2 + 1, bptt + 1)]
    assert weights.shape[1] - n == min(fills)


def test_tokens_that_fill_up_count_for_nothing(monkeypatch, tmp_path):
    """On every backend, though only backends that compile each length validate in this way."""
    monkeypatch.setattr("awd_keras.backend.compiles_each_length", lambda jit_compile: True)
    corpus = make_corpus()
    # A row has 10 targets: both windows of 4 and windows of 3 need 2 tokens of padding.
    filled = _FilledWindows(corpus.valid, 10, 4)
    assert (len(filled), filled.bptt) == (3, 4)
    runs.train(tmp_path / "run", corpus, **{**SETTINGS, "bptt": 4, "epochs": 1})
    run = runs.Run.open(tmp_path / "run")
    score = perplexity(run.model(), corpus.valid, 10, 4)
    assert run.metrics()[0]["valid_perplexity"] == pytest.approx(score.perplexity, rel=1e-5)


@pytest.fixture
def said(monkeypatch):
    """The lines that a notice with little patience has printed so far."""
    lines = []
    monkeypatch.setattr("awd_keras.backend.compiles_each_length", lambda jit_compile: True)
    monkeypatch.setattr(recording, "_PATIENCE", 0.0)
    monkeypatch.setattr(recording, "_SILENCE", 0.01)
    monkeypatch.setattr(recording, "print", lambda text, flush: lines.append(text), raising=False)
    return lines


@pytest.fixture
def notice(said):
    notice = CompilationNotice(BPTTDataset(np.arange(27), 1, bptt=8, variable=False))  # windows of 8, 8, 8 and 2 tokens
    model = AWDLSTM(3, embedding_dim=2, hidden_units=2, num_layers=1)
    model.compile()
    notice.set_model(model)
    notice.on_epoch_begin(0)
    return notice


def step(notice, batch, said=(), lines=0, kind="train"):
    """A step that lasts until this number of lines has been printed."""
    getattr(notice, f"on_{kind}_batch_begin")(batch)
    for _ in range(6000):
        if len(said) >= lines:
            break
        time.sleep(0.01)
    getattr(notice, f"on_{kind}_batch_end")(batch)
    # The thread that waits for the step may be about to print one more line.
    for thread in threading.enumerate():
        if "(_wait)" in thread.name:
            thread.join()


@pytest.mark.once
def test_says_what_is_compiled(notice, said):
    step(notice, 0, said, 1)
    assert said[0] == "compiling for windows of 8 tokens; the first epochs are slow"
    said.clear()
    step(notice, 3, said, 1)
    assert "compiling for windows of 2 tokens" in said
    assert not any("slow" in line for line in said)


@pytest.mark.once
def test_says_nothing_of_a_program_that_there_is(notice, said):
    step(notice, 0, said, 1)
    step(notice, 0, kind="test")
    known = set(notice._known)
    for kind, batch in (("train", 1), ("test", 0), ("test", 1)):
        step(notice, batch, kind=kind)
    assert notice._known == known == {"windows of 8 tokens", "validation"}


@pytest.mark.once
def test_is_never_silent_for_long_while_something_is_compiled(notice, said):
    step(notice, 0, said, 3, kind="test")
    first, *others = said
    assert first == "compiling for validation; the first epochs are slow"
    assert set(others) == {"compiling for validation"}


@pytest.mark.once
def test_is_silent_after_a_step_that_raises(notice, said):
    try:
        with notice:
            notice.on_train_batch_begin(0)
            raise KeyError
    except KeyError:
        pass
    assert notice._over.is_set()


@pytest.mark.once
def test_says_nothing_of_what_is_fast_or_not_compiled(notice, said, monkeypatch):
    monkeypatch.setattr(recording, "_PATIENCE", 60.0)
    step(notice, 0)
    monkeypatch.setattr(recording, "_PATIENCE", 0.0)
    monkeypatch.setattr("awd_keras.backend.compiles_each_length", lambda jit_compile: False)
    step(notice, 3)
    assert notice._known == {"windows of 8 tokens"}
    assert said == []


@pytest.mark.once
def test_a_run_that_is_to_be_silent_has_no_notice(monkeypatch, tmp_path):
    seen = []

    def fit(self, *args, callbacks, verbose, **kwargs):
        seen.append((verbose, [type(one).__name__ for one in callbacks].count("CompilationNotice")))
        raise KeyboardInterrupt

    monkeypatch.setattr(AWDLSTM, "fit", fit)
    for number, verbose in enumerate((0, 2)):
        with pytest.raises(KeyboardInterrupt):
            runs.train(tmp_path / str(number), make_corpus(), **{**SETTINGS, "verbose": verbose})
    assert seen == [(0, 0), (2, 1)]

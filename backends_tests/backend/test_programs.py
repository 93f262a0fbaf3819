"""How often models are compiled, in an epoch with windows of many lengths, and whether their results are right."""

import contextlib
import sys

import keras
import numpy as np
import pytest

from awd_keras import backend, runs
from awd_keras.callbacks import awd_lstm
from awd_keras.data import BPTTDataset, Corpus, Vocabulary
from awd_keras.models import AWDLSTM
from backends_tests import oracle
from backends_tests.helpers import draw_weights, values_of


class Counted(AWDLSTM):
    """Counts how often Python runs its training step: once for each program if compiled, else once for each window."""

    runs = 0

    def train_step(self, *args, **kwargs):
        self.runs += 1
        return super().train_step(*args, **kwargs)


def test_programs_of_a_training():
    model = Counted(7, embedding_dim=3, hidden_units=4, num_layers=1, seed=0)
    multiple = model.length_multiple(35)
    dataset = BPTTDataset(np.arange(2 * 2400 + 1) % 7, batch_size=2, bptt=35, seed=3, length_multiple=multiple)
    lengths = np.concatenate([dataset.window_lengths(epoch) for epoch in range(3)]).tolist()
    model.compile()
    model.fit(dataset, epochs=3, verbose=0)
    programs = {
        "jax": len(set(lengths)),
        "tensorflow": 2,  # one that creates the variables, one for any length
        "torch": len(lengths),  # none: each window is run by Python
    }[keras.backend.backend()]
    assert model.runs == programs
    if backend.compiles_each_length(backend.jit_compile()):
        assert 3 < model.runs <= 5
    else:
        assert len(set(lengths)) > 12


def corpus_of(tokens):
    """A text of this number of tokens, a tenth of them for validation."""
    words = np.random.default_rng(tokens).integers(7, size=2 * tokens + 1).astype("int32")
    splits = words[:tokens], words[tokens : tokens + tokens // 10], words[tokens + tokens // 10 :][: tokens // 7]
    return Corpus(*splits, Vocabulary(["<eos>", *"abcdef"]))


def train(directory, tokens, epochs):
    model = {"embedding_dim": 3, "hidden_units": 4, "num_layers": 1}
    return runs.train(directory, corpus_of(tokens), model=model, epochs=epochs, verbose=0)


@pytest.mark.parametrize("tokens", [631, pytest.param(2533, marks=pytest.mark.thorough)])
def test_programs_of_a_run(tmp_path, monkeypatch, tokens):
    """At most eight programs for training, validation and both scores, even with a short text and many epochs."""
    called = []

    def counted(name, function):
        def count(*args, **kwargs):
            called.append(name)
            return function(*args, **kwargs)

        return count

    reading = sys.modules["awd_keras.evaluation.perplexity"]  # the module, as its function has the same name
    for owner, name in ((AWDLSTM, "train_step"), (AWDLSTM, "test_step"), (reading, "nats_of_words")):
        monkeypatch.setattr(owner, name, counted(name, getattr(owner, name)))
    compiles_each = backend.compiles_each_length(backend.jit_compile())
    train(tmp_path / "run", tokens, epochs=9 if compiles_each else 1)
    if compiles_each:
        assert called.count("train_step") <= 5
        assert called.count("test_step") == 1
        assert called.count("nats_of_words") == 2
    else:
        assert "train_step" in called  # on TensorFlow once or twice, and on PyTorch in each step


def test_a_second_run_compiles_nothing(tmp_path):
    """Nor does a resumed run. The suite turns JAX's cache on, as `keep_programs` does."""
    if keras.backend.backend() != "jax":
        return
    import jax

    events, tokens = [], 631

    def listen(event, **_):
        events.append(event)

    # Programs of earlier tests are in memory, and aren't kept on disk where such a test had turned that off.
    jax.clear_caches()
    jax.monitoring.register_event_listener(listen)
    try:
        train(tmp_path / "one", tokens, epochs=2)
        assert "/jax/compilation_cache/compile_requests_use_cache" in events
        events.clear()
        train(tmp_path / "other", tokens, epochs=2)
        runs.resume(tmp_path / "one", corpus_of(tokens), epochs=3, verbose=0)
        assert "/jax/compilation_cache/cache_hits" in events
        assert "/jax/compilation_cache/cache_misses" not in events
    finally:
        jax.monitoring.unregister_event_listener(listen)


def test_how_many_lengths_are_worth_compiling():
    """Any number of lengths if a length costs nothing, else five."""
    model = AWDLSTM(7, embedding_dim=3, hidden_units=4, num_layers=1)
    default = 7 if keras.backend.backend() == "jax" else 1
    assert [model.length_multiple(bptt) for bptt in (70, 35)] == [default] * 2
    model.compile()
    assert model.length_multiple() == default
    if keras.backend.backend() == "tensorflow":
        model.compile(jit_compile=True)
        assert [model.length_multiple(bptt) for bptt in (70, 100)] == [7, 10]
    with pytest.raises(ValueError, match="`bptt` must be a positive integer"):
        model.length_multiple(0)


def test_many_lengths_to_compile_are_told_of():
    dataset = BPTTDataset(np.arange(2 * 20 * 60 + 1) % 7, batch_size=2, bptt=20)
    different = len(set(dataset.window_lengths().tolist()))
    assert different > 12
    model = AWDLSTM(7, embedding_dim=3, hidden_units=4, num_layers=1)
    model.compile()
    told = contextlib.nullcontext()
    if backend.compiles_each_length(backend.jit_compile()):
        told = pytest.warns(UserWarning, match=rf"compiled for each length of window, and an epoch has {different}")
    with told:
        model.fit(dataset, verbose=0, callbacks=awd_lstm(dataset)[:1], steps_per_epoch=1)


def test_an_evaluation_that_xla_compiles():
    """Equals NumPy's, over windows of two lengths. On PyTorch `jit_compile` isn't XLA, and is off."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(7, size=2 * 12 + 1)
    windows = BPTTDataset(tokens, batch_size=2, bptt=5, variable=False)
    model = AWDLSTM(7, embedding_dim=3, hidden_units=4, num_layers=1, seed=0)
    model.build((2, None))
    draw_weights(model, rng)
    model.compile(jit_compile=keras.backend.backend() != "torch")
    perplexities = [model.evaluate(windows, verbose=0)[1] for _ in range(2)]

    assert sorted(windows.window_lengths()) == [2, 5, 5]
    weights = values_of(model.trainable_variables)
    logits = oracle.AWDLSTM(weights, 2).forward(tokens[:-1].reshape(2, 12))[0]
    nats = -np.take_along_axis(oracle.log_softmax(logits), tokens[1:].reshape(2, 12, 1), axis=-1)
    np.testing.assert_allclose(np.log(perplexities), nats.mean(), rtol=1e-5)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The directory of compiled programs for a user who has set none of JAX's variables."""
    for name in ("XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", raising=False)
    if keras.backend.backend() != "jax":
        yield tmp_path
        return
    import jax

    names = (
        "jax_compilation_cache_dir",
        "jax_enable_compilation_cache",
        "jax_persistent_cache_min_compile_time_secs",
    )
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    yield tmp_path
    for name, value in before.items():
        jax.config.update(name, value)


def test_programs_are_kept_where_the_user_has_caches(cache):
    backend.keep_programs()
    found = [path for path in cache.rglob("jax-*") if path.is_dir()]
    if keras.backend.backend() != "jax":
        assert found == []
        return
    import jax

    assert [str(path) for path in found] == [jax.config.jax_compilation_cache_dir]
    assert found[0].parent.name == "awd_keras"
    assert jax.config.jax_persistent_cache_min_compile_time_secs == 0.1


@pytest.mark.parametrize("wish", ["off", "elsewhere", "nowhere"])
def test_what_the_user_says_of_kept_programs_counts(cache, monkeypatch, wish):
    if keras.backend.backend() != "jax":
        return
    import jax

    expected = None
    if wish == "off":
        jax.config.update("jax_enable_compilation_cache", False)
    elif wish == "elsewhere":
        expected = str(cache / "elsewhere")
        jax.config.update("jax_compilation_cache_dir", expected)
    else:
        (cache / "file").touch()
        for name in ("XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"):
            monkeypatch.setenv(name, str(cache / "file"))
    backend.keep_programs()
    assert jax.config.jax_compilation_cache_dir == expected
    assert list(cache.rglob("jax-*")) == []

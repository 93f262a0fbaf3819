"""Models that are compiled: how often, in an epoch of windows of many lengths, and what comes of it."""

import contextlib

import keras
import numpy as np
import pytest

from awd_keras import backend
from awd_keras.callbacks import awd_lstm
from awd_keras.data import BPTTDataset
from awd_keras.models import AWDLSTM
from backends_tests import oracle


class Counted(AWDLSTM):
    """Counts how often Python runs its training step: once a program where it is compiled, else once a window."""

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


def test_how_many_lengths_are_worth_compiling():
    """All of them where a length costs nothing, else five."""
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
    """What NumPy finds, over windows of two lengths. PyTorch's `jit_compile` is no XLA: there it's off."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(7, size=2 * 12 + 1)
    windows = BPTTDataset(tokens, batch_size=2, bptt=5, variable=False)
    model = AWDLSTM(7, embedding_dim=3, hidden_units=4, num_layers=1, seed=0)
    model.build((2, None))
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    model.compile(jit_compile=keras.backend.backend() != "torch")
    perplexities = [model.evaluate(windows, verbose=0)[1] for _ in range(2)]

    assert sorted(windows.window_lengths()) == [2, 5, 5]
    weights = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    logits = oracle.AWDLSTM(weights, 2).forward(tokens[:-1].reshape(2, 12))[0]
    nats = -np.take_along_axis(oracle.log_softmax(logits), tokens[1:].reshape(2, 12, 1), axis=-1)
    np.testing.assert_allclose(np.log(perplexities), nats.mean(), rtol=1e-5)

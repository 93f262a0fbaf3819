"""Models that are compiled: how often, in an epoch of windows of many lengths, and what comes of it."""

import keras
import numpy as np

from awd_keras import backend
from awd_keras.data import BPTTDataset
from awd_keras.models import AWDLSTM
from backends_tests import oracle


class Counted(AWDLSTM):
    """Counts how often Python runs its training step: once a program where it is compiled, else once a window."""

    runs = 0

    def train_step(self, *args, **kwargs):
        self.runs += 1
        return super().train_step(*args, **kwargs)


def test_programs_of_an_epoch():
    dataset = BPTTDataset(np.arange(2 * 20 * 60 + 1) % 7, batch_size=2, bptt=20, seed=3)
    lengths = dataset.window_lengths().tolist()
    model = Counted(7, embedding_dim=3, hidden_units=4, num_layers=1, seed=0)
    model.compile()
    model.fit(dataset, verbose=0)
    programs = {
        "jax": len(set(lengths)),
        "tensorflow": 2,  # one that creates the variables, one for any length
        "torch": len(lengths),  # none: each window is run by Python
    }[keras.backend.backend()]
    assert model.runs == programs
    if backend.compiles_each_length(backend.jit_compile()):
        assert 3 < model.runs <= 12
    else:
        assert backend.compiles_each_length("auto") or len(set(lengths)) > 12


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

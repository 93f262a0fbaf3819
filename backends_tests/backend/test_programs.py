"""How often a model's training step is compiled in an epoch of windows of many lengths."""

import keras
import numpy as np

from awd_keras import backend
from awd_keras.data import BPTTDataset
from awd_keras.models import AWDLSTM


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

"""The result of a check, and the model and the text that checks use."""

from typing import NamedTuple

import numpy as np

from awd_keras.data import BPTTDataset
from awd_keras.models import AWDLSTM


class Check(NamedTuple):
    """The outcome of one check.

    Attributes:
        name: what was checked.
        passed: whether the check has passed.
        figure: the measured value.
        detail: what the value means, and what it should be.
    """

    name: str
    passed: bool
    figure: str
    detail: str


VOCABULARY_SIZE = 40
BATCH_SIZE = 6


def small_model(**overrides) -> AWDLSTM:
    """An `AWDLSTM` of two layers without dropout, except for the rates in `overrides`."""
    settings = {
        "embedding_dim": 16,
        "hidden_units": 24,
        "num_layers": 2,
        "input_dropout": 0.0,
        "hidden_dropout": 0.0,
        "output_dropout": 0.0,
        "embedding_dropout": 0.0,
        "weight_drop": 0.0,
        "seed": 1,
        **overrides,
    }
    model = AWDLSTM(VOCABULARY_SIZE, **settings)
    model.build((BATCH_SIZE, None))
    return model


def windows(batch_size: int = BATCH_SIZE, count: int = 4, seed: int = 0) -> BPTTDataset:
    """A text of random words in `count` windows of 8 words a row."""
    tokens = np.random.default_rng(seed).integers(VOCABULARY_SIZE, size=8 * count * batch_size + 1)
    return BPTTDataset(tokens.astype("int32"), batch_size, bptt=8, variable=False)


def difference(left, right) -> float:
    """The largest difference between two lists of arrays."""
    return max(float(np.max(np.abs(np.asarray(a) - np.asarray(b)))) for a, b in zip(left, right, strict=True))

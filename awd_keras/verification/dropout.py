"""Checks of locked dropout and embedding dropout."""

import numpy as np
from keras import ops

from awd_keras.layers import EmbeddingDropout, LockedDropout
from awd_keras.verification.check import Check

_RATE = 0.4


def dropout_checks() -> list[Check]:
    """The masks: constant over time, and of whole words."""
    return [_constant_over_time(), _whole_words()]


def _constant_over_time():
    x = np.ones((8, 12, 256), "float32")
    y = ops.convert_to_numpy(LockedDropout(_RATE, seed=1)(x, training=True))
    spread = float(np.max(np.abs(y - y[:, :1])))
    share = float(np.mean(y == 0))
    return Check(
        "locked dropout keeps its mask over time",
        spread == 0 and abs(share - _RATE) < 0.06,
        f"{spread:.1e}, {share:.3f} dropped",
        f"largest change from time step to time step; must be 0, at a rate of {_RATE}",
    )


def _whole_words():
    words = 1000
    layer = EmbeddingDropout(words, 4, rate=_RATE, embeddings_initializer="ones", seed=1)
    ids = np.tile(np.arange(words), 3).reshape(3, words)
    y = ops.convert_to_numpy(layer(ids, training=True))
    # A word's three places in the batch, four features each, are dropped or kept together.
    values = y.transpose(1, 0, 2).reshape(words, -1)
    torn = int(np.sum(np.any(values != values[:, :1], axis=1)))
    share = float(np.mean(values[:, 0] == 0))
    return Check(
        "embedding dropout drops whole words",
        torn == 0 and abs(share - _RATE) < 0.08,
        f"{torn} of {words} torn, {share:.3f} dropped",
        f"words that are dropped in some places only; must be 0, at a rate of {_RATE}",
    )

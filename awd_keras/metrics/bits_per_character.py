"""Bits per character."""

import math
from typing import Any

import keras

from awd_keras.metrics.mean_cross_entropy import MeanCrossEntropy


@keras.saving.register_keras_serializable(package="awd_keras")
class BitsPerCharacter(MeanCrossEntropy):
    """The mean cross-entropy, in bits a token, of integer targets under the logits.

    The usual measure of a model over characters. Penalties are left out, as in `Perplexity`.

    Args:
        name: string, the name in the logs.
        dtype: dtype of the computation. Defaults to `keras.config.floatx()`.

    Call arguments:
        y_true: integer ids of shape (batch, time).
        y_pred: logits of shape (batch, time, vocabulary).
        sample_weight: weights of shape (batch, time), or None.

    Example:

    >>> import numpy as np
    >>> from awd_keras.metrics import BitsPerCharacter
    >>> metric = BitsPerCharacter()
    >>> metric.update_state(np.array([[0, 3]]), np.zeros((1, 2, 4), "float32"))
    >>> round(float(metric.result()), 3)
    2.0
    """

    def __init__(self, name: str = "bits_per_character", dtype: keras.DTypePolicy | str | None = None):
        super().__init__(name=name, dtype=dtype)

    def result(self) -> Any:
        return super().result() / math.log(2)

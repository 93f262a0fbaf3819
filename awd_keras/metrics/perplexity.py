"""Perplexity."""

from typing import Any

import keras
from keras import ops

from awd_keras.metrics.mean_cross_entropy import MeanCrossEntropy


@keras.saving.register_keras_serializable(package="awd_keras")
class Perplexity(MeanCrossEntropy):
    """`exp` of the mean cross-entropy, in nats a token, of integer targets under the logits.

    Every token counts the same, whatever the length of its window. Penalties (AR, TAR, weight regularizers), which
    Keras's `loss` and `val_loss` contain, are left out.

    Source: section 5.

    Args:
        name: string, the name in the logs.
        dtype: dtype of the computation. Defaults to `keras.config.floatx()`.

    Call arguments:
        y_true: integer ids of shape (batch, time).
        y_pred: logits of shape (batch, time, vocabulary).
        sample_weight: weights of shape (batch, time), or None.

    Example:

    >>> import numpy as np
    >>> from awd_keras.metrics import Perplexity
    >>> metric = Perplexity()
    >>> metric.update_state(np.array([[0, 3]]), np.zeros((1, 2, 4), "float32"))
    >>> round(float(metric.result()), 3)
    4.0
    """

    def __init__(self, name: str = "perplexity", dtype: keras.DTypePolicy | str | None = None):
        super().__init__(name=name, dtype=dtype)

    def result(self) -> Any:
        return ops.exp(super().result())

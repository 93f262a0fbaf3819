"""The mean cross-entropy of language models, and the metrics that are computed from it."""

import math
from typing import Any

import keras
from keras import ops

from awd_keras import backend
from awd_keras.backend.keras_private import lower_is_better
from awd_keras.losses.token_cross_entropy import check_targets, cross_entropy


@keras.saving.register_keras_serializable(package="awd_keras")
class MeanCrossEntropy(keras.metrics.Mean):
    """The mean cross-entropy of integer targets under logits, in nats. Every token has the same weight.

    Keras's `SparseCategoricalCrossentropy` metric first takes the mean over time, so with windows of different lengths
    a token in a short window has more weight. Keras's `loss` and `val_loss` include penalties (AR, TAR, weight
    regularizers); this metric doesn't.

    Source: section 5.

    Args:
        name: string, the name in the logs.
        dtype: dtype of the computation. Defaults to `keras.config.floatx()`.

    Example:

    >>> import numpy as np
    >>> from awd_keras.metrics import MeanCrossEntropy
    >>> metric = MeanCrossEntropy()
    >>> metric.update_state(np.array([[0, 3]]), np.zeros((1, 2, 4), "float32"))
    >>> round(float(metric.result()), 3)
    1.386
    """

    def __init__(self, name: str = "cross_entropy", dtype: keras.DTypePolicy | str | None = None):
        super().__init__(name=name, dtype=dtype)
        lower_is_better(self)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a window.

        Args:
            y_true: integer ids of shape (batch, time).
            y_pred: logits of shape (batch, time, vocabulary). If they carry a mask, masked tokens are left out.
            sample_weight: weights of shape (batch, time) or (batch,), or None.

        Raises:
            ValueError: if `y_true` doesn't hold an integer for each row of `y_pred`.
        """
        y_true = ops.convert_to_tensor(y_true)
        check_targets(y_true, y_pred)
        losses = backend.kept_losses(y_true, y_pred)
        if losses is None or keras.backend.standardize_dtype(losses.dtype) != self.dtype:
            losses = cross_entropy(y_true, y_pred, self.dtype)
        if sample_weight is not None:
            sample_weight = ops.convert_to_tensor(sample_weight)
            if len(sample_weight.shape) == 1:  # one for each row, as in Keras
                sample_weight = ops.expand_dims(sample_weight, -1)
        mask = backend.get_keras_mask(y_pred)
        if mask is not None:
            mask = ops.cast(mask, self.dtype)
            sample_weight = mask if sample_weight is None else ops.multiply(mask, sample_weight)
        if sample_weight is not None:
            sample_weight = ops.reshape(ops.broadcast_to(sample_weight, ops.shape(losses)), (-1,))
        super().update_state(ops.reshape(losses, (-1,)), sample_weight=sample_weight)


@keras.saving.register_keras_serializable(package="awd_keras")
class Perplexity(MeanCrossEntropy):
    """`exp` of the mean cross-entropy, in nats a token, of integer targets under the logits.

    Every token has the same weight, whatever the length of its window. Keras's `loss` and `val_loss` include penalties
    (AR, TAR, weight regularizers); this metric doesn't.

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

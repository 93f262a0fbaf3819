"""The loss of language models, and the cross-entropy that it shares with the metrics."""

from typing import Any

import keras
from keras import ops

from awd_keras import backend
from awd_keras.checks import check_integers, check_shape
from awd_keras.losses.deferred_logits import DeferredLogits


def cross_entropy(targets, logits, dtype="float32"):
    """The cross-entropy of each token, in nats.

    Args:
        targets: integer ids of shape (...,).
        logits: floats of shape (..., vocabulary); or `DeferredLogits`, whose losses have no gradient.
        dtype: dtype of the computation.

    Returns:
        Floats of shape (...,).
    """
    if isinstance(logits, DeferredLogits):
        return ops.cast(logits.losses(targets), dtype)
    logits = ops.cast(logits, dtype)
    # A row a token: of three axes, PyTorch wants the vocabulary's in the middle, 2.5 times slower.
    rows = ops.reshape(logits, (-1, logits.shape[-1]))
    ids = ops.reshape(ops.cast(targets, "int32"), (-1,))
    return ops.reshape(backend.cross_entropy(ids, rows), ops.shape(logits)[:-1])


def check_targets(targets, logits):
    """Raises ValueError unless there is an integer target for each row of logits."""
    if len(logits.shape) < 2:
        raise ValueError(
            f"Argument `y_pred` must be logits of shape (batch, ..., vocabulary). Received: shape={tuple(logits.shape)}"
        )
    check_integers("y_true", targets)
    check_shape("y_true", targets, tuple(logits.shape[:-1]))


@keras.saving.register_keras_serializable(package="awd_keras")
class TokenCrossEntropy(keras.losses.Loss):
    """The mean cross-entropy of integer targets under logits, in nats a token.

    The value of `keras.losses.SparseCategoricalCrossentropy(from_logits=True)`, without the copies that this makes of
    logits with a time axis on PyTorch.

    Source: section 5.

    Args:
        name: string.
        reduction: as for every Keras loss.
        dtype: dtype of the computation. Defaults to `keras.config.floatx()`.

    Call arguments:
        y_true: integer ids of shape (batch, time).
        y_pred: logits of shape (batch, time, vocabulary).
        sample_weight: weights of shape (batch, time), or None.

    Raises:
        ValueError: if `y_true` doesn't hold an integer for each row of `y_pred`.

    Example:

    >>> import numpy as np
    >>> from awd_keras.losses import TokenCrossEntropy
    >>> round(float(TokenCrossEntropy()(np.array([[0, 3]]), np.zeros((1, 2, 4), "float32"))), 3)
    1.386
    """

    def __init__(
        self,
        name: str = "token_cross_entropy",
        reduction: str | None = "sum_over_batch_size",
        dtype: keras.DTypePolicy | str | None = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        # Without Keras's `__call__`, which makes floats of the targets: the metrics know them as they come.
        y_true = ops.convert_to_tensor(y_true)
        deferred = isinstance(y_pred, DeferredLogits)
        y_pred = y_pred if deferred else ops.convert_to_tensor(y_pred)
        check_targets(y_true, y_pred)
        if deferred:
            return self._of_deferred(y_true, y_pred, sample_weight)
        losses = self.call(y_true, y_pred)
        backend.keep_losses(y_true, y_pred, losses)
        mask = backend.get_keras_mask(y_pred)
        return backend.reduce_weighted_values(losses, sample_weight, mask, self.reduction, self.dtype)

    def call(self, y_true, y_pred):
        return cross_entropy(y_true, y_pred, self.dtype)

    def _of_deferred(self, y_true, y_pred, sample_weight):
        """The reduced loss. Its gradients are taken along with it, so that the weights of tokens come before them."""
        total, losses = y_pred.cross_entropy(y_true, sample_weight)
        y_pred.keep(losses)
        # What Keras's reduction makes of the sum, which it can't be asked for: the mean of ones, for a mean.
        ones = ops.ones_like(losses, dtype=self.dtype)
        share = backend.reduce_weighted_values(ones, None, None, self.reduction, self.dtype)
        if self.reduction == "mean_with_sample_weight" and sample_weight is not None:
            ones = ops.multiply(ones, sample_weight)
        return ops.multiply(ops.cast(total, self.dtype), ops.divide_no_nan(share, ops.sum(ones)))

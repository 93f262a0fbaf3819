"""The loss of language models."""

import keras
from keras import ops

from awd_keras import backend
from awd_keras.cross_entropy import check_targets, cross_entropy


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

    def __init__(self, name="token_cross_entropy", reduction="sum_over_batch_size", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def __call__(self, y_true, y_pred, sample_weight=None):
        # Without Keras's `__call__`, which makes floats of the targets: the metrics know them as they come.
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        check_targets(y_true, y_pred)
        losses = self.call(y_true, y_pred)
        backend.keep_losses(y_true, y_pred, losses)
        mask = backend.get_keras_mask(y_pred)
        return backend.reduce_weighted_values(losses, sample_weight, mask, self.reduction, self.dtype)

    def call(self, y_true, y_pred):
        return cross_entropy(y_true, ops.cast(y_pred, self.dtype))

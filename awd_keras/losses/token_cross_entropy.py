"""The loss of language models, its cross-entropy, which metrics use too, and logits that are never materialized."""

import contextvars
from typing import Any

import keras
from keras import ops

from awd_keras import backend
from awd_keras.checks import check_integers, check_shape

# The model whose training or test step is running, and which may return `DeferredLogits`.
deferring: contextvars.ContextVar[object] = contextvars.ContextVar("deferring", default=None)


class DeferredLogits:
    """The logits `hidden_states @ transpose(table) + bias`, never materialized, for a loss and metrics that support it.

    An object of this class is the output of a model in a training or test step, instead of its logits, and has their
    shape. The cross-entropy is computed from it a few tokens at a time.

    Args:
        hidden_states: floats of shape (..., inputs), in the dtype of the logits.
        table: variable of shape (vocabulary, inputs).
        bias: variable of shape (vocabulary,).
    """

    def __init__(self, hidden_states, table, bias):
        self.hidden_states = hidden_states
        self.table, self.bias = (ops.cast(part, hidden_states.dtype) for part in (table, bias))
        self._kept_losses = None

    @property
    def shape(self):
        return (*self.hidden_states.shape[:-1], self.words)

    @property
    def words(self):
        return self.table.shape[0]

    @property
    def dtype(self):
        return self.hidden_states.dtype

    def cross_entropy(self, targets, sample_weight=None):
        """The cross-entropy of each token, in nats.

        Args:
            targets: integer ids of shape (...,).
            sample_weight: weights of a shape that broadcasts to that of the targets, or None.

        Returns:
            The sum of the losses times their weights, which has a gradient; and the losses (...,), which have none.
        """
        losses_shape = ops.shape(targets)
        ids = ops.reshape(ops.cast(targets, "int32"), (-1,))
        weights = ops.ones_like(ids, dtype="float32")
        if sample_weight is not None:
            weights = ops.convert_to_tensor(sample_weight, dtype="float32")
            weights = ops.reshape(ops.broadcast_to(weights, losses_shape), (-1,))
        rows = ops.reshape(self.hidden_states, (-1, self.hidden_states.shape[-1]))
        total, losses = self._cross_entropy(ids, weights, rows)
        return total, ops.reshape(losses, losses_shape)

    def _cross_entropy(self, ids, weights, rows):
        chunk = backend.rows_at_a_time(self.words)
        return backend.linear_cross_entropy(ids, weights, rows, self.table, self.bias, chunk)

    def keep(self, losses):
        """Keeps the losses for the metrics: those would compute them again, with the weights after the step."""
        self._kept_losses = losses

    def losses(self, targets):
        """The cross-entropy of each token, without a gradient: the kept losses if there are any, or computed now."""
        return self.cross_entropy(targets)[1] if self._kept_losses is None else self._kept_losses

    # JAX flattens and rebuilds this object between the loss and the metrics.

    def parts(self):
        return (self.hidden_states, self.table, self.bias, self._kept_losses), None

    @classmethod
    def from_parts(cls, tensors, constants):
        one = cls.__new__(cls)
        one.hidden_states, one.table, one.bias, one._kept_losses = tensors
        return one


backend.register_structure(DeferredLogits)


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
    # As a matrix of one row for each token. With three axes, PyTorch needs the vocabulary's axis in the middle, and is
    # 2.5 times slower.
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
    >>> loss = TokenCrossEntropy()(np.array([[0, 3]]), np.zeros((1, 2, 4), "float32"))
    >>> round(float(loss), 3)
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
        # Without Keras's `__call__`, which casts the targets to floats: `kept_losses` finds losses by the same tensor.
        y_true = ops.convert_to_tensor(y_true)
        deferred = isinstance(y_pred, DeferredLogits)
        y_pred = y_pred if deferred else ops.convert_to_tensor(y_pred)
        check_targets(y_true, y_pred)
        if deferred:
            return self._of_deferred(y_true, y_pred, sample_weight)
        losses = self.call(y_true, y_pred)
        if type(self).call is TokenCrossEntropy.call:  # metrics read them as the cross-entropy
            backend.keep_losses(y_true, y_pred, losses)
        mask = backend.get_keras_mask(y_pred)
        return backend.reduce_weighted_values(losses, sample_weight, mask, self.reduction, self.dtype)

    def call(self, y_true, y_pred):
        return cross_entropy(y_true, y_pred, self.dtype)

    def _of_deferred(self, y_true, y_pred, sample_weight):
        """The reduced loss. Its gradients are computed in the same pass, so tokens are weighted before the sum."""
        total, losses = y_pred.cross_entropy(y_true, sample_weight)
        y_pred.keep(losses)
        # The factor by which Keras's reduction differs from the sum: it is found by reducing ones in both ways.
        ones = ops.ones_like(losses, dtype=self.dtype)
        share = backend.reduce_weighted_values(ones, None, None, self.reduction, self.dtype)
        if self.reduction == "mean_with_sample_weight" and sample_weight is not None:
            ones = ops.multiply(ones, sample_weight)
        return ops.multiply(ops.cast(total, self.dtype), ops.divide_no_nan(share, ops.sum(ones)))

"""The cross-entropy that the loss and the metrics share."""

from keras import ops

from awd_keras import backend
from awd_keras.checks import check_integers, check_shape
from awd_keras.deferred_logits import DeferredLogits


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

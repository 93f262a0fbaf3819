"""Logits that nobody has computed."""

import contextvars

from keras import ops

from awd_keras import backend

# The model whose step is being made, and asks it for logits like these.
deferring: contextvars.ContextVar[object] = contextvars.ContextVar("deferring", default=None)


class DeferredLogits:
    """The logits `hidden_states @ transpose(table) + bias`, for a loss and metrics that can do without.

    They stand for the logits as the output of a model in a training or test step, and know the logits' shape. Where
    they are asked for a cross-entropy, it's computed of a few tokens at a time.

    Args:
        hidden_states: floats of shape (..., inputs), of the dtype that the logits are to have.
        table: variable of shape (vocabulary, inputs).
        bias: variable of shape (vocabulary,).
    """

    def __init__(self, hidden_states, table, bias):
        self.hidden_states = hidden_states
        self.table, self.bias = (ops.cast(part, hidden_states.dtype) for part in (table, bias))
        self._kept_losses = None

    @property
    def shape(self):
        return (*self.hidden_states.shape[:-1], self.table.shape[0])

    @property
    def dtype(self):
        return self.hidden_states.dtype

    def cross_entropy(self, targets, sample_weight=None):
        """The cross-entropy of each token, in nats.

        Args:
            targets: integer ids of shape (...,).
            sample_weight: weights of a shape that broadcasts to that of the targets, or None.

        Returns:
            The sum of the losses times their weights, which can be differentiated; and the losses (...,), which can't.
        """
        losses_shape = ops.shape(targets)
        ids = ops.reshape(ops.cast(targets, "int32"), (-1,))
        weights = ops.ones_like(ids, dtype="float32")
        if sample_weight is not None:
            weights = ops.convert_to_tensor(sample_weight, dtype="float32")
            weights = ops.reshape(ops.broadcast_to(weights, losses_shape), (-1,))
        rows = ops.reshape(self.hidden_states, (-1, self.hidden_states.shape[-1]))
        chunk = backend.rows_at_a_time(self.table.shape[0])
        total, losses = backend.linear_cross_entropy(ids, weights, rows, self.table, self.bias, chunk)
        return total, ops.reshape(losses, losses_shape)

    def keep(self, losses):
        """Leaves for the metrics what the loss has computed of the same targets, with the weights before the step."""
        self._kept_losses = losses

    def losses(self, targets):
        """The cross-entropy of each token, which can't be differentiated: what has been kept, or else computed."""
        return self.cross_entropy(targets)[1] if self._kept_losses is None else self._kept_losses

    # What JAX takes apart and puts together again between the loss and the metrics.

    def parts(self):
        return self.hidden_states, self.table, self.bias, self._kept_losses

    @classmethod
    def from_parts(cls, parts):
        one = cls.__new__(cls)
        one.hidden_states, one.table, one.bias, one._kept_losses = parts
        return one


backend.register_structure(DeferredLogits)

"""The base of optimizers that wrap another one."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from awd_keras.backend.keras_private import Surrounding


class Wrapping(Surrounding):
    """An optimizer that wraps another one, which has the learning rate and makes the steps."""

    def __init__(self, optimizer: keras.optimizers.Optimizer, name: str | None, weight_decay: float | None = None):
        if not isinstance(optimizer, keras.optimizers.Optimizer) or hasattr(optimizer, "inner_optimizer"):
            raise ValueError(
                "Argument `optimizer` must be an optimizer of Keras or of this library that wraps no other one. "
                f"Received: optimizer={optimizer!r}"
            )
        super().__init__(learning_rate=0.0, weight_decay=weight_decay, name=name)
        self._surround(optimizer)

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Makes one step of the inner optimizer.

        Args:
            grads: list of gradients.
            trainable_variables: list of their variables; by default those of `build`.
        """
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            self.build(trainable_variables)
        self.inner_optimizer.apply(grads, trainable_variables)

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the inner optimizer, which can be set here."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> Any:
        """The iterations of the inner optimizer."""
        return self.inner_optimizer.iterations

    def scale_loss(self, loss: Any) -> Any:
        """Scales the loss by the inner optimizer's `loss_scale_factor`."""
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list):
        """Called by Keras at the end of `fit`."""
        self.inner_optimizer.finalize_variable_values(var_list)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Called by Keras."""
        optimizer = keras.saving.deserialize_keras_object(config["optimizer"], custom_objects=custom_objects)
        return cls(**{**config, "optimizer": optimizer})


def as_arrays(gradients, variables):
    """Converts gradients to arrays. On TensorFlow, those of embeddings are lists of rows.

    A word that occurs twice has two rows in such a list, and Keras would compute the norm of the list.
    """
    if len(gradients) != len(variables):  # Keras will refuse them
        return gradients
    return [g if g is None else ops.reshape(g, v.shape) for g, v in zip(gradients, variables, strict=True)]

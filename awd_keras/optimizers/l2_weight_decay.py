"""Weight decay that is added to the gradients, for any optimizer."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from awd_keras.backend import devices
from awd_keras.checks import check_not_negative
from awd_keras.optimizers.wrapping import Wrapping, as_arrays


@keras.saving.register_keras_serializable(package="awd_keras")
class L2WeightDecay(Wrapping):
    """An optimizer that sees the gradients with the weight decay in them, as those of PyTorch do.

        g = clipped gradient + weight_decay * w

    It's the gradient of an L2 penalty, `weight_decay / 2 * ||w||^2`, but one that isn't clipped and isn't in the loss.
    The `weight_decay` of Keras's own optimizers is another one: it shrinks the weights beside the step ("decoupled").
    For plain SGD both are the same. For Adam they aren't, and the program that the paper was made with decays this way.

    `exclude_from_weight_decay`, called before it is built, leaves variables out. With `gradient_accumulation_steps`,
    the decay is added once an update.

    Source: section 5, whose weight decay is 1.2e-6. Loshchilov and Hutter 2019, arXiv 1711.05101, section 2, on the
    difference.

    Args:
        optimizer: a Keras optimizer without a weight decay of its own. It belongs to this one from then on, and can't
            step by itself any more.
        weight_decay: float of at least 0.
        name: string; by default `"l2_weight_decay"`, and so on.

    Raises:
        ValueError: if the optimizer is none, has another one in it or a weight decay of its own, or the weight decay is
            out of its range.

    Example:

    >>> import keras, numpy as np
    >>> from awd_keras.optimizers import L2WeightDecay
    >>> w = keras.Variable([2.0, 0.0])
    >>> optimizer = L2WeightDecay(keras.optimizers.Adam(0.5), weight_decay=0.1)
    >>> optimizer.build([w])
    >>> optimizer.apply([np.zeros(2, "float32")])  # Adam makes a whole step for a gradient of 0.2.
    >>> [round(float(x), 4) for x in w.numpy()]
    [1.5, 0.0]
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, weight_decay: float = 1.2e-6, name: str | None = None):
        check_not_negative("weight_decay", weight_decay)
        if getattr(optimizer, "weight_decay", None):
            raise ValueError(
                "Argument `optimizer` must have no weight decay of its own: pass it `weight_decay=None`. Received: "
                f"weight_decay={optimizer.weight_decay}"
            )
        super().__init__(optimizer, name, weight_decay)

    def build(self, variables: Sequence[Any]) -> None:
        if self.built:
            return
        super().build(variables)
        self.inner_optimizer.build(variables)

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Makes one step of the inner optimizer, on gradients with the decay in them.

        Args:
            grads: list of gradients.
            trainable_variables: list of their variables; by default those of `build`.
        """
        # Before anything is clipped.
        grads = devices.add_gradients(as_arrays(grads, trainable_variables or self._model_variables))
        super().apply(grads, trainable_variables)

    def _around(self, step, gradients, variables):
        decays = [
            ops.multiply(self._decay_of(variable), ops.stop_gradient(ops.cast(variable, gradient.dtype)))
            for variable, gradient in zip(variables, gradients, strict=True)
        ]
        step(devices.share_gradients(list(map(ops.add, gradients, decays))))

    def get_config(self) -> dict:
        return {
            "optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
            "weight_decay": self.weight_decay,
            "name": self.name,
        }

"""Weight decay in the gradients, for any optimizer."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from awd_keras.backend import devices
from awd_keras.checks import check_not_negative
from awd_keras.optimizers.wrapping import Wrapping, as_arrays


@keras.saving.register_keras_serializable(package="awd_keras")
class L2WeightDecay(Wrapping):
    """Adds weight decay to the gradients of any Keras optimizer, as PyTorch's optimizers do.

        g = clipped gradient + weight_decay * w

    This adds the gradient of an L2 penalty, `weight_decay / 2 * ||w||^2`, which is neither clipped nor part of the
    loss. Keras's own `weight_decay` is decoupled: it shrinks the weights separately from the step. For plain SGD both
    are the same, for Adam they differ. The paper's program adds the decay to the gradient.

    `exclude_from_weight_decay` leaves variables out; call it before the optimizer is built. With
    `gradient_accumulation_steps`, the decay is added once in each update.

    Source: section 5 (a weight decay of 1.2e-6); on the difference Loshchilov and Hutter 2019, arXiv 1711.05101,
    section 2.

    Args:
        optimizer: a Keras optimizer without its own weight decay. It becomes a part of this one, and can't be used
            separately any more.
        weight_decay: float of at least 0.
        name: string; by default `"l2_weight_decay"`, and so on.

    Raises:
        ValueError: if `optimizer` isn't an optimizer, wraps another one or has a weight decay of its own, or
            `weight_decay` is out of its range.

    Example:

    >>> import keras, numpy as np
    >>> from awd_keras.optimizers import L2WeightDecay
    >>> w = keras.Variable([2.0, 0.0])
    >>> optimizer = L2WeightDecay(keras.optimizers.Adam(0.5), weight_decay=0.1)
    >>> optimizer.build([w])
    >>> # Adam makes a whole step for a gradient of 0.2.
    >>> optimizer.apply([np.zeros(2, "float32")])
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
        """Makes one step of the inner optimizer, with the decay added to the gradients.

        Args:
            grads: list of gradients.
            trainable_variables: list of their variables; by default those of `build`.
        """
        # Summed over the devices now, before the inner optimizer clips them.
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

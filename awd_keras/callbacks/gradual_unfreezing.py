"""Training layers one group after the other."""

import re
from collections.abc import Sequence

import keras

from awd_keras.callbacks.trigger_and_swap import find_optimizer
from awd_keras.checks import check_positive_integer


class GradualUnfreezing(keras.callbacks.Callback):
    """Trains the first group of layers alone, and adds the next group every `epochs_each` epochs.

    It sets the multipliers of `awd_keras.optimizers.LayerwiseLearningRate`: to 0 until a group's turn comes, then to
    their first values. Nothing is compiled again. Multipliers that are in no group aren't changed. The number of the
    epoch decides, so `fit(initial_epoch=...)` continues an interrupted training.

    Source: Howard and Ruder 2018, arXiv 1801.06146, section 3.3, "Gradual unfreezing".

    Args:
        groups: sequence of groups, in the order in which they are added: the last layer first, as a rule. A group is a
            key of the optimizer's `multipliers`, a regular expression that is searched for in the keys, or a sequence
            of these.
        epochs_each: positive integer, the number of epochs before the next group is added.

    Raises:
        ValueError: if there is no group, or `epochs_each` isn't a positive integer; when an epoch begins, if the model
            isn't compiled with `LayerwiseLearningRate` or isn't built, or a group matches no multiplier.

    Example:

    >>> import keras, numpy as np
    >>> from awd_keras.callbacks import GradualUnfreezing
    >>> from awd_keras.optimizers import LayerwiseLearningRate
    >>> layers = [keras.layers.Dense(3, name="body"), keras.layers.Dense(1, name="head")]
    >>> model = keras.Sequential([keras.Input((2,)), *layers])
    >>> optimizer = LayerwiseLearningRate(keras.optimizers.SGD(0.1), "ulmfit")
    >>> model.compile(optimizer, loss="mse")
    >>> before = layers[0].get_weights()[0]
    >>> unfreezing = GradualUnfreezing(["head", "body"], epochs_each=2)
    >>> x, y = np.ones((4, 2)), np.ones((4, 1))
    >>> history = model.fit(x, y, epochs=2, callbacks=[unfreezing], verbose=0)
    >>> bool((layers[0].get_weights()[0] == before).all())
    True
    """

    def __init__(self, groups: Sequence[str | Sequence[str]], epochs_each: int = 1):
        super().__init__()
        if isinstance(groups, str) or not groups:
            raise ValueError(f"Argument `groups` must be a sequence of groups of layers. Received: groups={groups!r}")
        check_positive_integer("epochs_each", epochs_each)
        self.groups = [[group] if isinstance(group, str) else list(group) for group in groups]
        self.epochs_each = epochs_each

    def on_epoch_begin(self, epoch, logs=None):
        optimizer = find_optimizer(self.model, "unfreeze")
        if optimizer is None:
            raise ValueError(
                "Callback `GradualUnfreezing` needs a model compiled with "
                "`awd_keras.optimizers.LayerwiseLearningRate`. Received: "
                f"optimizer={getattr(self.model, 'optimizer', None)}"
            )
        if not optimizer.built:  # On TensorFlow, Keras builds it in the first step.
            if not self.model.built:
                raise ValueError(
                    "Callback `GradualUnfreezing` needs a model that is built: call it on data, or `model.build`, "
                    "before `fit`. Received: a model that isn't"
                )
            self.model.optimizer.build(self.model.trainable_variables)
        for index, group in enumerate(self.groups):
            turn = optimizer.unfreeze if epoch >= index * self.epochs_each else optimizer.freeze
            for pattern in group:
                for name in _found(pattern, optimizer.multipliers):
                    turn(name)


def _found(pattern, names):
    found = [pattern] if pattern in names else [name for name in names if re.search(pattern, name)]
    if not found:
        raise ValueError(
            f"Argument `groups` must have keys of the optimizer's multipliers, {', '.join(names)}, or expressions that "
            f"are found in them. Received: {pattern!r}"
        )
    return found

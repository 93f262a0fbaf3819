"""Learning rates that differ from layer to layer."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from awd_keras import backend
from awd_keras.checks import check_not_negative
from awd_keras.optimizers.wrapping import Wrapping

# ULMFiT's, section 3.2: what the rate of a layer is divided by for the one below.
_ULMFIT = 2.6

# What follows a layer's path in a variable's: the layers within a `Bidirectional`, a recurrent layer's cell.
_INNER = re.compile(r"(/(forward|backward)_[^/]+)?(/[^/]*_cell(_\d+)?)?$")


@keras.saving.register_keras_serializable(package="awd_keras")
class LayerwiseLearningRate(Wrapping):
    """An optimizer whose steps are multiplied by a number for each layer, as if each had a learning rate of its own.

        w = w_old + m * (w_new - w_old)

    with the value `w_new` that the inner optimizer would give the variable, weight decay included, and the multiplier m
    of the first pattern that its path has. For SGD, with momentum or not, Adam and most others this is the same as a
    learning rate of `m * learning_rate` for this variable. What the inner optimizer does with all gradients together,
    as clipping by `global_clipnorm`, it does with those of all layers. Averages and constraints, those of `NTASGD`
    too, are of the weights that come out.

    Each multiplier is a variable, which may be changed in training, by `freeze` for example; nothing is compiled
    again. A layer of the multiplier 0 keeps its weights to the last bit. Its gradient is still computed: to save that,
    set `trainable = False`, after which Keras compiles anew.

    With `"ulmfit"`, the last layer has the multiplier 1, and each other one that of the layer after it, divided by
    2.6. A layer is what has weights, in the model's order; all that is in a layer named `head` is one layer, and so are
    the two directions of a `Bidirectional`.

    Source: Howard and Ruder 2018, arXiv 1801.06146, section 3.2, "Discriminative fine-tuning".

    Args:
        optimizer: a Keras optimizer. It belongs to this one from then on, and can't step by itself any more.
        multipliers: dictionary of regular expressions, each to be searched for in a variable's `path`, and numbers of
            at least 0; the first that is found counts, and a variable without one has the multiplier 1. Or `"ulmfit"`.
        name: string; by default `"layerwise_learning_rate"`, and so on.

    Raises:
        ValueError: if the optimizer is none, or another one of these or a `LossScaleOptimizer`, which goes around this
            one; if a multiplier isn't as above; and, when it's built, if a pattern is in no variable's path.

    Example:

    >>> import keras
    >>> from awd_keras.optimizers import LayerwiseLearningRate
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="body"), keras.layers.Dense(1)])
    >>> model.compile(LayerwiseLearningRate(keras.optimizers.Adam(1e-3), {"body/": 0.1}), loss="mse")
    >>> model.optimizer.build(model.trainable_variables)
    >>> {name: round(float(variable.numpy()), 4) for name, variable in model.optimizer.multipliers.items()}
    {'body/': 0.1}
    >>> model.optimizer.freeze("body/")
    >>> float(model.optimizer.multipliers["body/"].numpy())
    0.0
    """

    def __init__(
        self, optimizer: keras.optimizers.Optimizer, multipliers: Mapping[str, float] | str, name: str | None = None
    ):
        if isinstance(multipliers, Mapping):
            for pattern, value in multipliers.items():
                check_not_negative(f"multipliers[{pattern!r}]", value)
        elif multipliers != "ulmfit":
            raise ValueError(
                "Argument `multipliers` must be a dictionary of patterns and numbers, or 'ulmfit'. Received: "
                f"multipliers={multipliers!r}"
            )
        super().__init__(optimizer, name)
        self._given: Any = multipliers if isinstance(multipliers, str) else dict(multipliers)
        # The multiplier of each variable of the model, and of each name.
        self._of_variables: list[Any] = []
        self._names: dict[str, tuple[float, Any]] = {}

    def build(self, variables: Sequence[Any]) -> None:
        if self.built:
            return
        super().build(variables)
        paths = [variable.path for variable in variables]
        if self._given == "ulmfit":
            layers = [_layer_of(path) for path in paths]
            names = list(dict.fromkeys(layers))
            values = {name: _ULMFIT ** (index + 1 - len(names)) for index, name in enumerate(names)}
            found = layers
        else:
            values = dict(self._given)
            found = [next((name for name in values if re.search(name, path)), None) for path in paths]
            unused = [name for name in values if name not in found]
            if unused:
                raise ValueError(
                    "Argument `multipliers` must have patterns that are each the first found in some variable's path. "
                    f"Received: {unused[0]!r}, and the variables {', '.join(paths)}"
                )
        self._names = {
            name: (
                value,
                self.add_variable((), keras.initializers.Constant(value), dtype="float32", name=f"multiplier_{index}"),
            )
            for index, (name, value) in enumerate(values.items())
        }
        self._of_variables = [None if name is None else self._names[name][1] for name in found]
        self.inner_optimizer.build(variables)

    @property
    def multipliers(self) -> dict[str, Any]:
        """The variables of the multipliers, by pattern, or, for `"ulmfit"`, by the layers' paths; empty until built."""
        return {name: variable for name, (_, variable) in self._names.items()}

    def freeze(self, name: str) -> None:
        """Sets a multiplier to 0.

        Args:
            name: its key in `multipliers`.
        """
        self.multipliers[name].assign(0.0)

    def unfreeze(self, name: str) -> None:
        """Sets a multiplier to what it was made with.

        Args:
            name: its key in `multipliers`.
        """
        value, variable = self._names[name]
        variable.assign(value)

    def _around(self, step, gradients, variables):
        multipliers = [self._of_variables[index] for index in self._indices_of(variables)]
        variables = [variable for variable, m in zip(variables, multipliers, strict=True) if m is not None]
        starts = [ops.stop_gradient(ops.copy(variable)) for variable in variables]
        step(gradients)
        backend.shrink_steps(variables, starts, [ops.convert_to_tensor(m) for m in multipliers if m is not None])

    def get_config(self) -> dict:
        return {
            "optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
            "multipliers": self._given,
            "name": self.name,
        }


def _layer_of(path):
    """The path of the layer that a variable belongs to; that of a `head`, of all layers within."""
    head = re.match(r"(.*/)?head(?=/)", path)
    return head[0] if head else _INNER.sub("", path.rpartition("/")[0])

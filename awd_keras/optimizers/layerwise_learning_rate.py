"""Learning rates that differ from layer to layer."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from awd_keras import backend
from awd_keras.checks import check_not_negative
from awd_keras.optimizers.wrapping import Wrapping

# Of ULMFiT, section 3.2: a layer's rate is that of the layer above, divided by this.
_ULMFIT = 2.6

# The part of a variable's path after its layer's path: the layers within a `Bidirectional`, a recurrent layer's cell.
_INNER = re.compile(r"(/(forward|backward)_[^/]+)?(/[^/]*_cell(_\d+)?)?$")


@keras.saving.register_keras_serializable(package="awd_keras")
class LayerwiseLearningRate(Wrapping):
    """Gives each layer its own learning rate, with any Keras optimizer: a multiplier of its steps.

        w = w_old + m * (w_new - w_old)

    `w_new` is the variable after the step of the inner optimizer, weight decay included. `m` is the multiplier of the
    first pattern that is found in the variable's path. For SGD, with or without momentum, Adam and most others, this
    equals a learning rate of `m * learning_rate` for the variable. Operations on all gradients together, such as
    clipping by `global_clipnorm`, include all layers. Constraints and averages, also those of `NTASGD`, are applied to
    the resulting `w`.

    Each multiplier is a variable. It can be changed in training, for example by `freeze`, and nothing is compiled
    again. With a multiplier of 0, the weights of a layer don't change in a single bit. Its gradient is still computed:
    to avoid that, set `trainable = False`, after which Keras compiles again.

    With `"ulmfit"`, the last layer has the multiplier 1, and each other layer that of the next layer divided by 2.6.
    Only layers with weights count, in the model's order. All layers within one named `head` count as one, and so do the
    two directions of a `Bidirectional`.

    Source: Howard and Ruder 2018, arXiv 1801.06146, section 3.2, "Discriminative fine-tuning".

    Args:
        optimizer: a Keras optimizer. It becomes a part of this one, and can't be used separately any more.
        multipliers: dictionary from regular expressions to numbers of at least 0, or `"ulmfit"`. Each expression is
            searched for in a variable's `path`; the first that is found counts. If none is found, the multiplier is 1.
            If all paths begin with the same name, the model's, that name is left out, except for expressions that are
            found nowhere else.
        name: string; by default `"layerwise_learning_rate"`, and so on.

    Raises:
        ValueError: if `optimizer` isn't an optimizer or wraps another one (a `LossScaleOptimizer` goes around this
            one), or a multiplier isn't as above; when it is built, if a pattern isn't the first one that is found in
            any path.

    Example:

    >>> import keras
    >>> from awd_keras.optimizers import LayerwiseLearningRate
    >>> layers = [keras.layers.Dense(3, name="body"), keras.layers.Dense(1)]
    >>> model = keras.Sequential([keras.Input((2,)), *layers])
    >>> optimizer = LayerwiseLearningRate(keras.optimizers.Adam(1e-3), {"body/": 0.1})
    >>> model.compile(optimizer, loss="mse")
    >>> model.optimizer.build(model.trainable_variables)
    >>> {
    ...     name: round(float(variable.numpy()), 4)
    ...     for name, variable in model.optimizer.multipliers.items()
    ... }
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
        # A list with the multiplier of each variable of the model; and by name, its first value and its variable.
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
            found = _first_found(values, paths)
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
        """The multipliers' variables, by pattern, or for `"ulmfit"` by the layer's path; empty until it is built."""
        return {name: variable for name, (_, variable) in self._names.items()}

    def freeze(self, name: str) -> None:
        """Sets a multiplier to 0, so that its weights don't change.

        Args:
            name: its key in `multipliers`.
        """
        self.multipliers[name].assign(0.0)

    def unfreeze(self, name: str) -> None:
        """Sets a multiplier back to its first value.

        Args:
            name: its key in `multipliers`.
        """
        value, variable = self._names[name]
        variable.assign(value)

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """Passed on to the inner optimizer, which decays the weights."""
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

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


def _first_found(patterns, paths):
    """For each path the first pattern that is found in it, or None."""
    names = {path.partition("/")[0] for path in paths}
    # All paths of an `AWDLSTM` begin with its name, in which "lstm" is found, too.
    shorter = [path.partition("/")[2] for path in paths] if len(names) == 1 else paths
    searched = {
        pattern: shorter if any(re.search(pattern, path) for path in shorter) else paths for pattern in patterns
    }
    return [
        next((pattern for pattern in patterns if re.search(pattern, searched[pattern][index])), None)
        for index in range(len(paths))
    ]


def _layer_of(path):
    """The path of a variable's layer, or of the `head` that the layer is in."""
    head = re.match(r"(.*/)?head(?=/)", path)
    return head[0] if head else _INNER.sub("", path.rpartition("/")[0])

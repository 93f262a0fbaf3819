"""The averages of an optimizer's iterates, and their exchange with the current iterate in the model."""

import functools
import warnings
from typing import Any

import keras
from keras import ops

from awd_keras import backend
from awd_keras.backend.keras_private import OneStep, has_value, steps_made

# Their mantissa is too short for a mean of many iterates.
_HALF = ("float16", "bfloat16")

# In a file, this comes before the number of a variable; a number alone is one of the optimizer's own variables.
_ITERATE = "iterate_"


class Averaging(OneStep):
    """An optimizer that holds the averages of its iterates in variables of its own, and can put them in the model.

    A subclass calls `_add_averages` in its `build`, and `_update_averages` after each step. It counts the steps that it
    leaves out in `_num_skipped`.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self._averages: list[keras.Variable] = []
        # A copy of the iterate while the averages are in the model. Swapping the two would save this copy, but a
        # callback that restores weights, as EarlyStopping does, would then overwrite the average.
        self._iterates: list[Any] = []

    def _add_averages(self, variables):
        # The number of iterates in the average, which is 0 until averaging starts.
        self._num_averaged = self.add_variable((), dtype="int", name="num_averaged")
        self._num_skipped = self.add_variable((), dtype="int", name="num_skipped")
        # 0, or 1 + the iteration at which the averages were put in the model.
        self._averages_put_in_at = self.add_variable((), dtype="int", name="averages_put_in_at")
        for variable in variables:
            # With the variable's layout in memory, so that a pass over both reads memory in order.
            zeros = functools.partial(_zeros, variable)
            if keras.backend.standardize_dtype(variable.dtype) in _HALF:
                average = self.add_variable(variable.shape, zeros, dtype="float32", name=f"{variable.name}_average")
            else:
                average = self.add_variable_from_reference(variable, name="average", initializer=zeros)
            self._averages.append(average)

    def _update_averages(self, stepped):
        # After a whole step, so that constraints have been applied, and variables without a gradient are averaged too.
        # A share of 0 instead of a branch: compiled functions have none, and a GPU would have to wait for the value.
        averages = ops.logical_and(ops.greater(self._num_averaged, 0), ops.equal(self._averages_put_in_at, 0))
        averages = ops.logical_and(averages, stepped)
        if self.gradient_accumulation_steps:
            updated = ops.equal(ops.mod(steps_made(self), self.gradient_accumulation_steps), 0)
            averages = ops.logical_and(averages, updated)
        count = ops.add(self._num_averaged, ops.cast(averages, self._num_averaged.dtype))
        self._num_averaged.assign(count)
        share = ops.divide(ops.cast(averages, "float32"), ops.cast(ops.maximum(count, 1), "float32"))
        backend.average(self._averages, self._model_variables, share)

    def start_averaging(self) -> None:
        """Starts averaging from the current iterate, whatever the measures are.

        Called before the first step, this begins the paper's fine-tuning phase (section 5), which
        ends at the first measure for which `update_trigger` returns True. It does nothing if
        averaging has begun already: to restart from a trained model, compile it with a new optimizer.
        """
        self._check_built("start_averaging")
        if self.averaging:
            return
        for variable, average in zip(self._model_variables, self._averages, strict=True):
            _copy(variable, average)
        self._num_averaged.assign(1)

    @property
    def averaging(self) -> bool:
        """Whether averaging has started."""
        return self.built and int(ops.convert_to_numpy(self._num_averaged)) > 0

    @property
    def averages_in_model(self) -> bool:
        """Whether the model's variables now hold the averages instead of the raw iterate."""
        return self.built and int(ops.convert_to_numpy(self._averages_put_in_at)) > 0

    @property
    def skipped_steps(self) -> int:
        """The number of steps that were left out because a gradient wasn't finite."""
        return int(ops.convert_to_numpy(self._num_skipped)) if self.built else 0

    def use_averages(self) -> None:
        """Puts the averages in the model, and keeps the raw iterate.

        Does nothing before averaging has started, or if they are in the model already. Training must
        continue from the raw iterate: call `use_iterates` before it, as `SwapAveragedWeights` does.
        """
        if not self.averaging or self.averages_in_model:
            return
        self._iterates = [ops.stop_gradient(ops.copy(variable)) for variable in self._model_variables]
        for variable, average in zip(self._model_variables, self._averages, strict=True):
            _copy(average, variable)
        self._averages_put_in_at.assign(ops.add(steps_made(self), 1))

    def use_iterates(self) -> None:
        """Puts the raw iterate back in the model. Does nothing if it is there already.

        Weights that were set in the model meanwhile are lost, with a warning: training continues from the iterate.
        """
        if not self.averages_in_model:
            return
        if not self._warn_if_averages_were_trained() and not self._averages_are_unchanged():
            warnings.warn(
                "Weights that were set in the model while it held the averages are dropped: training continues from "
                "the raw iterate. To train from such weights, compile the model with a new optimizer.",
                stacklevel=2,
            )
        if self._iterates:
            for variable, iterate in zip(self._model_variables, self._iterates, strict=True):
                variable.assign(iterate)  # not a copy, as nothing else uses this buffer from here on
        else:
            warnings.warn(
                "The raw iterate is lost: the optimizer's variables were copied from an optimizer whose averages were "
                "in its model, and the iterate isn't among its variables. Training continues from the averages. A "
                "`.keras` or `.weights.h5` file has the iterate; a `.h5` file doesn't.",
                stacklevel=2,
            )
        self._iterates = []
        self._averages_put_in_at.assign(0)

    def finalize_variable_values(self, var_list):
        """Called by Keras at the end of `fit`."""
        super().finalize_variable_values(var_list)
        # On JAX, the variables have no values if a step has raised.
        if has_value(self._averages_put_in_at) and self.averages_in_model:
            self._warn_if_averages_were_trained()

    def save_own_variables(self, store):
        """Called by Keras. Also writes the raw iterate if the averages are in the model."""
        super().save_own_variables(store)
        for i, iterate in enumerate(self._iterates):
            store[f"{_ITERATE}{i}"] = ops.convert_to_numpy(iterate)

    def load_own_variables(self, store):
        """Called by Keras. Reads what `save_own_variables` wrote."""
        iterates = [f"{_ITERATE}{i}" for i, _ in enumerate(self._averages)]
        names = store.keys()  # Keras's view of an HDF5 group can't be iterated over
        variables = {name: store[name] for name in names if name not in iterates}
        super().load_own_variables(variables)
        if len(variables) != len(self.variables):
            return  # Keras has warned already.
        self._iterates = []
        if self.averages_in_model:
            # None, if the variables were copied from another optimizer: `use_iterates` warns of that.
            self._iterates = [ops.convert_to_tensor(store[name]) for name in iterates if name in names]

    def _check_built(self, method):
        if not self.built:
            raise ValueError(
                f"Method `{method}` needs to know the model's variables: call "
                "`optimizer.build(model.trainable_variables)` first. Received: an optimizer "
                "that isn't built"
            )

    def _averages_are_unchanged(self):
        for variable, average in zip(self._model_variables, self._averages, strict=True):
            # In the variable's precision, in which it was put in the model.
            same = ops.logical_or(ops.equal(variable, ops.cast(average, variable.dtype)), ops.isnan(variable))
            if not ops.convert_to_numpy(ops.all(same)):
                return False
        return True

    def _warn_if_averages_were_trained(self):
        put_in_at = ops.convert_to_numpy(self._averages_put_in_at)
        trained = int(ops.convert_to_numpy(steps_made(self))) + 1 != int(put_in_at)
        if trained:
            warnings.warn(
                "The model was trained while it held averaged weights, so this training didn't "
                "continue from the raw iterate and isn't averaged. Train with the callback "
                "`SwapAveragedWeights`, or call `optimizer.use_iterates()` before training.",
                stacklevel=3,
            )
        return trained


def _zeros(variable, shape, dtype):
    return ops.zeros_like(variable, dtype=dtype)


def _copy(source, target):
    # A copy: on JAX, both variables would otherwise share one buffer, which can be donated only once.
    target.assign(ops.copy(source))

"""Stochastic gradient descent that averages its iterates once validation stops improving."""

import functools
import math
import numbers
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from awd_keras import backend
from awd_keras.backend import devices
from awd_keras.backend.keras_private import OneStep, has_value, steps_made
from awd_keras.checks import check_not_negative, check_positive_integer

# Too short a mantissa to hold a mean of many iterates.
_HALF = ("float16", "bfloat16")

# In a file, before the number of a variable, which alone is the name of one of the optimizer's own.
_ITERATE = "iterate_"


@keras.saving.register_keras_serializable(package="awd_keras")
class NTASGD(OneStep):
    """Non-monotonically triggered averaged stochastic gradient descent, NT-ASGD.

    The step, for the gradient `g` of the loss with all its penalties:

        g = g * min(1, global_clipnorm / ||g||)         one norm over all variables
        w = w - learning_rate * (g + weight_decay * w)

    The trigger: with `logs` the validation measures so far and `n = non_monotone_interval`,
    averaging starts when a new measure `v` has `len(logs) > n and v > min(logs[:-n])`, that is,
    when `v` is worse than the best of all measures but the last n. Then `v` is appended. (The text
    of the paper says "the last n" here, a misprint, as its authors have said.) At that point, T,
    the average is `w` itself; from then on it is the plain mean of `w[T], ..., w[k]`, updated in
    each step. The learning rate stays as it is.

    The optimizer holds the averages beside the model's variables, the raw iterate, and exchanges them on request.
    `awd_keras.callbacks.awd_lstm` (or, one by one, `NonMonotonicTrigger` and `SwapAveragedWeights`) does all this in
    `fit`; without these callbacks, it is SGD and no more. Measures, counters and averages are variables of the
    optimizer, so that a saved model goes on where it stopped.

    A step whose gradients have no finite norm changes neither weights nor averages: `skipped_steps` counts it.

    A gradient may be of another float dtype than its variable, as autocast gives such: it is clipped, then cast.

    Measures are compared in float32; NaN counts as infinity. Averages have their variable's
    dtype, those of float16 and bfloat16 variables are float32.

    Source: section 3, algorithm 1; section 5 for the numbers.

    Args:
        learning_rate: float, 0 or more. The default of 30 is for the mean cross-entropy of a language model's tokens;
            for another model, start with the rate that plain SGD takes there.
        non_monotone_interval: positive integer, n above, in measures.
        weight_decay: float of at least 0, or None.
        clipnorm: float or None, clips the norm of each variable's gradient. At most one of the
            three clipping arguments can be set: pass `global_clipnorm=None` to use another.
        clipvalue: float or None, clips each element of the gradients.
        global_clipnorm: float or None, clips the norm of all gradients taken together.
        loss_scale_factor: float or None, as for every Keras optimizer.
        gradient_accumulation_steps: integer of at least 2, or None. As for every Keras optimizer;
            the average then takes one iterate in an update, not in a step.
        name: string; by default `"ntasgd"`, `"ntasgd_1"` and so on.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    >>> import keras, numpy as np
    >>> from awd_keras.optimizers import NTASGD
    >>> w = keras.Variable([1.0, 1.0])
    >>> optimizer = NTASGD(learning_rate=0.5, non_monotone_interval=2, weight_decay=None)
    >>> optimizer.build([w])
    >>> [optimizer.update_trigger(measure) for measure in (90.0, 80.0, 85.0, 84.0, 81.0)]
    [False, False, False, False, True]
    >>> for _ in range(2):
    ...     optimizer.apply([np.array([0.2, 0.0], "float32")])
    >>> [round(float(x), 4) for x in w.numpy()]
    [0.8, 1.0]
    >>> optimizer.use_averages()
    >>> [round(float(x), 4) for x in w.numpy()]  # (1.0 + 0.9 + 0.8) / 3
    [0.9, 1.0]
    >>> optimizer.use_iterates()
    >>> [round(float(x), 4) for x in w.numpy()]
    [0.8, 1.0]
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 30.0,
        non_monotone_interval: int = 5,
        weight_decay: float | None = 1.2e-6,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = 0.25,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
    ):
        # What isn't a number may be a schedule, which Keras checks.
        if isinstance(learning_rate, numbers.Real):
            check_not_negative("learning_rate", learning_rate)
            learning_rate = float(learning_rate)
        check_positive_integer("non_monotone_interval", non_monotone_interval)
        for argument, value in (
            ("weight_decay", weight_decay),
            ("clipnorm", clipnorm),
            ("clipvalue", clipvalue),
            ("global_clipnorm", global_clipnorm),
        ):
            if value is not None:
                check_not_negative(argument, value)
        super().__init__(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps,
            name=name,
        )
        self.non_monotone_interval = non_monotone_interval
        self._averages: list[keras.Variable] = []
        # Arrays, only while the averages are in the model. To exchange the two would save this copy, but whoever
        # then sets the model's weights, as EarlyStopping does, would unknowingly set the average.
        self._iterates: list[Any] = []

    def build(self, variables: Sequence[Any]) -> None:
        if self.built:
            return
        super().build(variables)
        infinity = keras.initializers.Constant(math.inf)
        # All that the rule needs of `logs`: its last n, the oldest first, and the best before them.
        # Starting at infinity makes it wait for more than n measures.
        self._last_measures = self.add_variable(
            (self.non_monotone_interval,), infinity, dtype="float32", name="last_measures"
        )
        self._best_older_measure = self.add_variable((), infinity, dtype="float32", name="best_older_measure")
        # The number of iterates in the average, which is 0 until averaging starts.
        self._num_averaged = self.add_variable((), dtype="int", name="num_averaged")
        self._num_skipped = self.add_variable((), dtype="int", name="num_skipped")
        # 0, or 1 + the iteration at which the averages were put in the model.
        self._averages_put_in_at = self.add_variable((), dtype="int", name="averages_put_in_at")
        for variable in variables:
            # Laid out in memory as the variable is, so that a pass over both is one in order.
            zeros = functools.partial(_zeros, variable)
            if keras.backend.standardize_dtype(variable.dtype) in _HALF:
                average = self.add_variable(variable.shape, zeros, dtype="float32", name=f"{variable.name}_average")
            else:
                average = self.add_variable_from_reference(variable, name="average", initializer=zeros)
            self._averages.append(average)

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Makes one step, then takes the new iterate into the average if averaging has started.

        Args:
            grads: list of gradients.
            trainable_variables: list of their variables; by default those of `build`.
        """
        if len(grads) == 0:
            return
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            self.build(trainable_variables)
        self._check_built("apply")
        variables = trainable_variables or self._model_variables
        if len(grads) == len(variables):
            # On TensorFlow an embedding's gradient is a list of rows, in which a word that occurs
            # twice has two, and Keras takes the norm of the list. Reshaping makes it an array.
            grads = [g if g is None else ops.reshape(g, v.shape) for g, v in zip(grads, variables, strict=True)]
        # Before anything is clipped.
        grads = devices.add_gradients(grads)
        skipped = ops.copy(self._num_skipped)
        super().apply(grads, trainable_variables)
        self._update_averages(ops.equal(skipped, self._num_skipped))

    def _step_of_all(self, grads, trainable_variables, learning_rate):
        norm = backend.global_norm(grads)
        finite = ops.isfinite(norm)
        scale = ops.ones_like(norm)
        if self.global_clipnorm:
            scale = ops.divide(self.global_clipnorm, ops.maximum(norm, self.global_clipnorm))
        decays = [self._decay_of(variable) for variable in trainable_variables]
        learning_rate = ops.convert_to_tensor(learning_rate)
        steps = list(zip(trainable_variables, grads, decays, strict=True))
        for variables, gradients, own_decays, factor in _by_dtype(steps, scale):
            backend.descend(variables, gradients, learning_rate, factor, own_decays, finite)
        self._num_skipped.assign_add(ops.cast(ops.logical_not(finite), self._num_skipped.dtype))

    def _update_averages(self, stepped):
        # After a whole step, so that constraints have been applied and variables without a gradient
        # count too. A share of 0 rather than a branch: this runs inside of compiled functions,
        # and no value need go to the host to choose.
        averages = ops.logical_and(ops.greater(self._num_averaged, 0), ops.equal(self._averages_put_in_at, 0))
        averages = ops.logical_and(averages, stepped)
        if self.gradient_accumulation_steps:
            updated = ops.equal(ops.mod(steps_made(self), self.gradient_accumulation_steps), 0)
            averages = ops.logical_and(averages, updated)
        count = ops.add(self._num_averaged, ops.cast(averages, self._num_averaged.dtype))
        self._num_averaged.assign(count)
        share = ops.divide(ops.cast(averages, "float32"), ops.cast(ops.maximum(count, 1), "float32"))
        backend.average(self._averages, self._model_variables, share)

    def update_trigger(self, measure: float) -> bool:
        """Takes a validation measure, lower being better, and starts averaging if it's time to.

        Args:
            measure: number.

        Returns:
            Whether the measure is worse than the best of all before it but the last n. The first
            such one starts averaging. If averaging was on from the beginning, by
            `start_averaging`, it is where the paper's fine-tuning phase ends.
        """
        self._check_built("update_trigger")
        if isinstance(measure, bool) or not isinstance(measure, numbers.Real):
            raise ValueError(f"Argument `measure` must be a number. Received: measure={measure!r}")
        with np.errstate(over="ignore"):
            measure = np.float32(math.inf if math.isnan(measure) else measure)
        last = ops.convert_to_numpy(self._last_measures)
        best = ops.convert_to_numpy(self._best_older_measure)
        is_worse = bool(measure > best)
        self._best_older_measure.assign(min(float(best), float(last[0])))
        self._last_measures.assign(np.append(last[1:], measure))
        if is_worse:
            self.start_averaging()
        return is_worse

    def start_averaging(self) -> None:
        """Starts averaging from the current iterate, whatever the measures are.

        Called before any step, this makes the paper's fine-tuning phase (section 5), which ends at
        the first measure for which `update_trigger` returns True. It does nothing if averaging is
        on already: to restart from a trained model, compile it with a new optimizer.
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
        """Whether the model's variables hold the averages now, rather than the raw iterate."""
        return self.built and int(ops.convert_to_numpy(self._averages_put_in_at)) > 0

    @property
    def skipped_steps(self) -> int:
        """The number of steps that weren't made, as their gradients weren't all finite."""
        return int(ops.convert_to_numpy(self._num_skipped)) if self.built else 0

    def use_averages(self) -> None:
        """Puts the averages in the model, and the raw iterate aside.

        Does nothing while averaging hasn't started, or if they are there already. Training must go
        on from the raw iterate: call `use_iterates` before it, as `SwapAveragedWeights` does.
        """
        if not self.averaging or self.averages_in_model:
            return
        self._iterates = [ops.stop_gradient(ops.copy(variable)) for variable in self._model_variables]
        for variable, average in zip(self._model_variables, self._averages, strict=True):
            _copy(average, variable)
        self._averages_put_in_at.assign(ops.add(steps_made(self), 1))

    def use_iterates(self) -> None:
        """Puts the raw iterate back in the model. Does nothing if it is there already.

        Weights that were set in the model meanwhile are lost: training goes on as if uninterrupted.
        """
        if not self.averages_in_model:
            return
        self._warn_if_averages_were_trained()
        if self._iterates:
            for variable, iterate in zip(self._model_variables, self._iterates, strict=True):
                variable.assign(iterate)  # whose buffer is the variable's alone from here on
        else:
            warnings.warn(
                "The raw iterate is lost: the optimizer's variables were set to those of one whose averages were in "
                "its model, and the iterate isn't among them. Training goes on from the averages. A `.keras` or "
                "`.weights.h5` file has the iterate; a `.h5` file doesn't.",
                stacklevel=2,
            )
        self._iterates = []
        self._averages_put_in_at.assign(0)

    def finalize_variable_values(self, var_list):
        """Called by Keras at the end of `fit`."""
        super().finalize_variable_values(var_list)
        # On JAX, Keras has taken the values out of the variables if it's a step that raised.
        if has_value(self._averages_put_in_at) and self.averages_in_model:
            self._warn_if_averages_were_trained()

    def save_own_variables(self, store):
        """Called by Keras: writes the raw iterate too, where the model has the averages."""
        super().save_own_variables(store)
        for i, iterate in enumerate(self._iterates):
            store[f"{_ITERATE}{i}"] = ops.convert_to_numpy(iterate)

    def load_own_variables(self, store):
        """Called by Keras: reads what `save_own_variables` wrote."""
        iterates = [f"{_ITERATE}{i}" for i, _ in enumerate(self._averages)]
        names = store.keys()  # Keras's view of an HDF5 group can't be walked itself
        variables = {name: store[name] for name in names if name not in iterates}
        super().load_own_variables(variables)
        if len(variables) != len(self.variables):
            return  # and Keras has warned of it.
        self._iterates = []
        if self.averages_in_model:
            self._iterates = [ops.convert_to_tensor(store[name]) for name in iterates]

    def get_config(self) -> dict:
        config = super().get_config()
        for argument in ("use_ema", "ema_momentum", "ema_overwrite_frequency"):
            del config[argument]
        return {**config, "non_monotone_interval": self.non_monotone_interval}

    def _check_built(self, method):
        if not self.built:
            raise ValueError(
                f"Method `{method}` needs to know the model's variables: call "
                "`optimizer.build(model.trainable_variables)` first. Received: an optimizer "
                "that isn't built"
            )

    def _warn_if_averages_were_trained(self):
        put_in_at = ops.convert_to_numpy(self._averages_put_in_at)
        if int(ops.convert_to_numpy(steps_made(self))) + 1 != int(put_in_at):
            warnings.warn(
                "The model was trained while it held averaged weights, so that this training "
                "didn't go on from the raw iterate and isn't averaged. Train with the callback "
                "`SwapAveragedWeights`, or call `optimizer.use_iterates()` before.",
                stacklevel=3,
            )


def _by_dtype(steps, scale):
    """The steps whose gradient has its variable's dtype, and then the others, scaled and cast.

    In this order, as the gradient of a narrow variable may be too large for its dtype before it is clipped.
    """
    dtype = keras.backend.standardize_dtype
    alike = [step for step in steps if dtype(step[0].dtype) == dtype(step[1].dtype)]
    others = [
        (variable, ops.cast(ops.multiply(gradient, scale), variable.dtype), decay)
        for variable, gradient, decay in steps
        if dtype(variable.dtype) != dtype(gradient.dtype)
    ]
    for group, factor in ((alike, scale), (others, ops.ones_like(scale))):
        if group:
            yield *zip(*group, strict=True), factor


def _zeros(variable, shape, dtype):
    return ops.zeros_like(variable, dtype=dtype)


def _copy(source, target):
    # On JAX, an assignment alone would make both share one buffer, which can be donated only once.
    target.assign(ops.copy(source))

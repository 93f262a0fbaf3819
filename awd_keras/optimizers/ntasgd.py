"""Stochastic gradient descent that averages its iterates once validation stops improving."""

import math
import numbers
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from awd_keras import backend
from awd_keras.backend import devices
from awd_keras.checks import check_not_negative, check_positive_integer
from awd_keras.optimizers.averaging import Averaging
from awd_keras.optimizers.wrapping import as_arrays


@keras.saving.register_keras_serializable(package="awd_keras")
class NTASGD(Averaging):
    """Non-monotonically triggered averaged stochastic gradient descent, NT-ASGD.

    **Pass a learning rate unless you train a language model**: at the default of 30, other models diverge. Start with
    the rate that plain SGD takes there.

    The step, for the gradient `g` of the loss with all its penalties:

        g = g * min(1, global_clipnorm / ||g||)         one norm over all variables
        w = w - learning_rate * (g + weight_decay * w)

    The trigger: `logs` are the validation measures so far, and `n = non_monotone_interval`.
    Averaging starts when a new measure `v` has `len(logs) > n and v > min(logs[:-n])`. That is,
    `v` is worse than the best of all measures except the last n. Then `v` is appended. (The paper
    says "the last n" here; its authors have said that this is a misprint.) At that step, T,
    the average is `w` itself. From then on it is the plain mean of `w[T], ..., w[k]`, updated in
    each step. The learning rate doesn't change.

    The model's variables are the raw iterate. The optimizer holds the averages in variables of its own, and puts them
    in the model on request. In `fit`, the callbacks of `awd_keras.callbacks.awd_lstm` (or `NonMonotonicTrigger` and
    `SwapAveragedWeights` separately) do this; without them, the optimizer is plain SGD. Measures, counters and averages
    are variables of the optimizer, so that a saved model continues where it stopped.

    A step whose gradients have no finite norm changes neither weights nor averages: `skipped_steps` counts it.

    A gradient may have another float dtype than its variable, as under autocast: it is clipped, then cast.

    Measures are compared in float32; NaN counts as infinity. Averages have the dtype of their
    variable, but those of float16 and bfloat16 variables are float32.

    Source: section 3, algorithm 1; section 5 for the numbers.

    Args:
        learning_rate: float, 0 or more. The default of 30 is for the mean cross-entropy of a language model's tokens.
        non_monotone_interval: positive integer, n above, in measures.
        weight_decay: float of at least 0, or None.
        clipnorm: float or None, clips the norm of each variable's gradient. At most one of the
            three clipping arguments can be set: pass `global_clipnorm=None` to use another.
        clipvalue: float or None, clips each element of the gradients.
        global_clipnorm: float or None, clips the norm of all gradients taken together.
        loss_scale_factor: float or None, as for every Keras optimizer.
        gradient_accumulation_steps: integer of at least 2, or None. As for every Keras optimizer;
            the average then takes one iterate for each update, not for each step.
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
        # If it isn't a number, it may be a schedule, which Keras checks.
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

    def build(self, variables: Sequence[Any]) -> None:
        if self.built:
            return
        super().build(variables)
        infinity = keras.initializers.Constant(math.inf)
        # The trigger needs only the last n of `logs`, the oldest first, and the best before them. They are infinity at
        # first, so that averaging can't start before there are more than n measures.
        self._last_measures = self.add_variable(
            (self.non_monotone_interval,), infinity, dtype="float32", name="last_measures"
        )
        self._best_older_measure = self.add_variable((), infinity, dtype="float32", name="best_older_measure")
        self._add_averages(variables)

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Makes one step, and adds the new iterate to the average if averaging has started.

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
        # Summed over the devices now, before they are clipped.
        grads = devices.add_gradients(as_arrays(grads, trainable_variables or self._model_variables))
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

    def update_trigger(self, measure: float) -> bool:
        """Takes a validation measure, and starts averaging if it meets the criterion.

        Args:
            measure: number; lower is better.

        Returns:
            Whether the measure is worse than the best of all earlier ones except the last n. The
            first such measure starts averaging. After `start_averaging`, it ends the paper's
            fine-tuning phase.
        """
        self._check_built("update_trigger")
        if isinstance(measure, bool) or not isinstance(measure, numbers.Real):
            raise ValueError(f"Argument `measure` must be a number. Received: measure={measure!r}")
        with np.errstate(over="ignore"):
            measure = np.float32(math.inf if math.isnan(measure) else measure)
        last = ops.convert_to_numpy(self._last_measures)
        best = ops.convert_to_numpy(self._best_older_measure)
        # The best one stands for all measures before the last n.
        worse = is_worse([best, *last, measure], self.non_monotone_interval)
        self._best_older_measure.assign(min(float(best), float(last[0])))
        self._last_measures.assign(np.append(last[1:], measure))
        if worse:
            self.start_averaging()
        return worse

    def get_config(self) -> dict:
        config = super().get_config()
        for argument in ("use_ema", "ema_momentum", "ema_overwrite_frequency"):
            del config[argument]
        return {**config, "non_monotone_interval": self.non_monotone_interval}


def _by_dtype(steps, scale):
    """The steps whose gradient has its variable's dtype, and then the others, whose gradients are scaled and then cast.

    They are scaled first because an unclipped gradient may be too large for a narrow dtype.
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


def is_worse(measures: Sequence[float], interval: int) -> bool:
    """Whether the last measure is worse than the best of all before it, except the n before it.

        len(logs) > n and v > min(logs[:-n])

    Source: section 3, algorithm 1.

    Args:
        measures: `logs`, followed by v; lower is better. They are compared in float32, and NaN counts as infinity.
        interval: n, a positive integer.
    """
    with np.errstate(over="ignore"):
        *earlier, last = (np.float32(math.inf if math.isnan(measure) else measure) for measure in measures)
    return bool(last > min(earlier[:-interval], default=math.inf))

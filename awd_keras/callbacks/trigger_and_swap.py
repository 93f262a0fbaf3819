"""The two callbacks that `NTASGD` needs in `fit`: one for its trigger, one that puts the average in the model."""

import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from awd_keras.callbacks.passes import ResetStates
from awd_keras.checks import check_boolean, check_positive_integer


def find_optimizer(model, method):
    """The model's optimizer, or the one that it wraps (for loss scaling), that has this method; None without one."""
    optimizer = getattr(model, "optimizer", None)
    while optimizer is not None and not hasattr(optimizer, method):
        optimizer = getattr(optimizer, "inner_optimizer", None)
    return optimizer


class WithoutAverages:
    """Stands for `NTASGD` where the model has another optimizer, and does nothing."""

    averaging = averages_in_model = False
    skipped_steps = 0
    iterations, gradient_accumulation_steps = np.int64(0), None

    def update_trigger(self, measure):
        return False

    def use_averages(self):
        pass

    def use_iterates(self):
        pass


def find_averaging(model):
    """The `NTASGD` of a model, or a `WithoutAverages`."""
    return find_optimizer(model, "use_averages") or WithoutAverages()


def averaging_optimizer(callback):
    """The `NTASGD` of the callback's model; a `WithoutAverages` if `awd_lstm` has made the callback for any optimizer.

    Raises:
        ValueError: if the model has another optimizer, or none.
    """
    optimizer = find_averaging(callback.model)
    if isinstance(optimizer, WithoutAverages) and not callback.any_optimizer:
        raise ValueError(
            f"Callback `{type(callback).__name__}` needs a model compiled with "
            "`awd_keras.optimizers.NTASGD`. The callbacks of `awd_lstm(dataset)` work with any optimizer. Received: "
            f"optimizer={getattr(callback.model, 'optimizer', None)}"
        )
    return optimizer


class NonMonotonicTrigger(keras.callbacks.Callback):
    """Starts the averaging of `NTASGD` once a validation measure stops improving.

    It gives the optimizer the measure that `fit` takes on its `validation_data`, once an epoch. With `frequency=L`, it
    evaluates its own `validation_data` every L steps, counted from the optimizer's first one; the metrics shown during
    training aren't disturbed.

    It only starts averaging: `SwapAveragedWeights` puts the average in the model. If training ends without that, there
    is a warning.

    With `stop_training=True`, such a measure ends training if averaging has begun already. This is the paper's
    fine-tuning phase, which needs a new optimizer whose `start_averaging()` has been called.

    Source: section 3, algorithm 1, where L, the logging interval, is an epoch's number of steps; section 5 for
    fine-tuning.

    Args:
        monitor: string, a key of the logs. Lower must be better. Take a metric of the cross-entropy
            alone: `val_loss` includes the penalties.
        frequency: `"epoch"`, or a positive integer L, in training steps.
        validation_data: what `fit` takes by that name, only for an integer `frequency`.
        stop_training: boolean, whether training stops when a measure would start averaging that has begun already.

    Raises:
        ValueError: if `frequency` is neither, or doesn't go with `validation_data`, or `stop_training` isn't a boolean;
            when training starts, if the model isn't compiled with `NTASGD`.

    Example:

    >>> import keras, numpy as np
    >>> from awd_keras.callbacks import NonMonotonicTrigger
    >>> from awd_keras.optimizers import NTASGD
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile(NTASGD(learning_rate=0.0, non_monotone_interval=1), loss="mse")
    >>> x = np.ones((8, 1), "float32")
    >>> trigger = NonMonotonicTrigger(monitor="val_loss")
    >>> history = model.fit(x, x, validation_data=(x, x), callbacks=[trigger], verbose=0)
    >>> model.optimizer.averaging
    False
    """

    any_optimizer = False

    def __init__(
        self,
        monitor: str = "val_perplexity",
        frequency: int | str = "epoch",
        validation_data: Any = None,
        stop_training: bool = False,
    ):
        super().__init__()
        check_boolean("stop_training", stop_training)
        if frequency != "epoch":
            if isinstance(frequency, str):
                raise ValueError(
                    f"Argument `frequency` must be 'epoch' or a positive integer. Received: frequency={frequency!r}"
                )
            check_positive_integer("frequency", frequency)
        if (frequency == "epoch") != (validation_data is None):
            raise ValueError(
                "Argument `validation_data` must be given if `frequency` is an integer, and only "
                "then: an epoch's validation is what `fit` does. Received: "
                f"frequency={frequency!r}, validation_data={validation_data!r}"
            )
        self.monitor = monitor
        self.frequency: Any = frequency
        self.validation_data = validation_data
        self.stop_training = stop_training
        self._step: Any = None
        self._steps_before_epoch = 0
        self._settled = False
        self._missing: tuple[str, str] | None = None

    def on_train_begin(self, logs=None):
        # Without averages no measure is read, so none is reported as missing.
        self._settled, self._missing = isinstance(averaging_optimizer(self), WithoutAverages), None
        self._step = None

    def on_epoch_begin(self, epoch, logs=None):
        if self._step is None:
            # Read from the optimizer, so that another `fit` goes on counting. Not when training begins, as
            # `BackupAndRestore` may come after this callback and restore then.
            optimizer = averaging_optimizer(self)
            iterations = int(ops.convert_to_numpy(optimizer.iterations))
            self._step = iterations * (optimizer.gradient_accumulation_steps or 1)
        self._steps_before_epoch = self._step

    def on_train_batch_end(self, batch, logs=None):
        if self.frequency == "epoch":
            return
        # With `steps_per_execution`, several steps at once.
        step = self._steps_before_epoch + batch + 1
        is_due = step // self.frequency > self._step // self.frequency
        self._step = step
        if is_due:
            self._update(self._evaluate(), self.monitor.removeprefix("val_"))

    def on_epoch_end(self, epoch, logs=None):
        if self.frequency == "epoch":
            self._update(logs or {}, self.monitor)

    def on_train_end(self, logs=None):
        # With `validation_freq`, some epochs have no measure, which is no fault.
        if self._missing and not self._settled:
            self._warn(*self._missing)
        optimizer = averaging_optimizer(self)
        # `SwapAveragedWeights` has put the average in the model by now, wherever it stands in the list of callbacks.
        if self._step is not None and optimizer.averaging and not optimizer.averages_in_model:
            warnings.warn(
                "Training has ended with the raw iterate in the model, and the average unused. Pass the callback "
                "`SwapAveragedWeights` too, or call `optimizer.use_averages()`.",
                stacklevel=2,
            )

    def _update(self, logs, monitor):
        if monitor in logs:
            self._settled = True
            optimizer = averaging_optimizer(self)
            was_averaging = optimizer.averaging
            is_worse = optimizer.update_trigger(logs[monitor])
            if self.stop_training and was_averaging and is_worse:
                self.model.stop_training = True
            return
        self._missing = monitor, ",".join(logs)
        validated = self.frequency != "epoch" or any(name.startswith("val_") for name in logs)
        if validated and not self._settled:
            self._settled = True  # Warn in the first epoch, not after a long training that never averages.
            self._warn(*self._missing)

    def _warn(self, monitor, available):
        has_begun = averaging_optimizer(self).averaging
        if has_begun and not self.stop_training:
            return  # The measure has nothing left to do.
        missed = "training won't be stopped" if has_begun else "averaging won't begin"
        warnings.warn(
            f"NT-ASGD's trigger conditioned on metric `{monitor}` which is not available, so that {missed}. Pass "
            f"another `monitor`. Available metrics are: {available}",
            stacklevel=3,
        )

    def _evaluate(self):
        model = self.model
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(self.validation_data)
        # `evaluate` resets the metrics, and on PyTorch, where a model is a module, leaves it in evaluation mode. Both
        # are restored below.
        metrics = [(v, ops.convert_to_numpy(v)) for v in model.metrics_variables]
        is_training = getattr(model, "training", None)
        logs = model.evaluate(
            x,
            y,
            sample_weight=sample_weight,
            callbacks=[SwapAveragedWeights(), ResetStates()],
            return_dict=True,
            verbose=0,
        )
        for variable, value in metrics:
            variable.assign(value)
        if getattr(model, "training", None) != is_training:
            model.train(is_training)
        return logs


class SwapAveragedWeights(keras.callbacks.Callback):
    """Puts the averaged weights of `NTASGD` in the model to evaluate and save it, but not to train it.

    In `fit`, once averaging has started, the averages are put in the model when validation begins, or without
    validation at the epoch's end. They stay until the next epoch begins, and after `fit`. So what is evaluated or saved
    in between has the averages. A `ModelCheckpoint` can stand anywhere in the list if there is validation, else after
    this callback. What is saved in the middle of an epoch has the raw iterate.

    Training always continues from the raw iterate, also in the next `fit`, with a model that was saved and loaded in
    between, and after an exception.

    In `evaluate` and `predict` outside `fit`, the averages are put in the model, and what was
    there before is put back at the end.

    It never starts averaging. `NonMonotonicTrigger` does that, or the optimizer's `start_averaging` or
    `update_trigger`. Until then, this callback does nothing.

    Source: section 3, algorithm 1, which returns the average.

    Raises:
        ValueError: when it starts, if the model isn't compiled with `NTASGD`.

    Example:

    >>> import keras, numpy as np
    >>> from awd_keras.callbacks import SwapAveragedWeights
    >>> from awd_keras.optimizers import NTASGD
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile(NTASGD(learning_rate=0.1), loss="mse")
    >>> model.optimizer.build(model.trainable_variables)
    >>> model.optimizer.start_averaging()
    >>> x = np.ones((8, 1), "float32")
    >>> history = model.fit(x, x, callbacks=[SwapAveragedWeights()], verbose=0)
    >>> model.optimizer.averages_in_model
    True
    """

    any_optimizer = False

    def __init__(self) -> None:
        super().__init__()
        self._in_fit = False
        self._found_averages = False

    def set_params(self, params):
        # Keras calls this once for each `fit`, `evaluate` or `predict`, not for validation in
        # `fit`: a `fit` that an exception has ended is forgotten here.
        super().set_params(params)
        self._in_fit = False

    def on_train_begin(self, logs=None):
        averaging_optimizer(self).use_iterates()
        self._in_fit = True

    def on_epoch_begin(self, epoch, logs=None):
        # Once more: a callback may have loaded weights since.
        averaging_optimizer(self).use_iterates()

    def on_epoch_end(self, epoch, logs=None):
        averaging_optimizer(self).use_averages()

    def on_train_end(self, logs=None):
        averaging_optimizer(self).use_averages()
        self._in_fit = False

    def on_test_begin(self, logs=None):
        optimizer = averaging_optimizer(self)
        self._found_averages = optimizer.averages_in_model
        optimizer.use_averages()

    def on_test_end(self, logs=None):
        if not self._in_fit and not self._found_averages:
            averaging_optimizer(self).use_iterates()

    def on_predict_begin(self, logs=None):
        self.on_test_begin()

    def on_predict_end(self, logs=None):
        self.on_test_end()

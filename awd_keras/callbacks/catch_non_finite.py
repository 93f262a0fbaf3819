"""Stops a training whose numbers overflow and says where, or leaves that step out."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from awd_keras.backend.keras_private import flatten_layers
from awd_keras.callbacks.passes import Passes
from awd_keras.callbacks.trigger_and_swap import averaging_optimizer
from awd_keras.checks import check_boolean


class CatchNonFinite(keras.callbacks.Callback):
    """Stops training at the first step whose loss or gradients aren't finite, and says which one it was.

    `NTASGD` leaves a step out whose gradients aren't finite, so that weights and averages never become NaN. After each
    step, this callback checks whether that happened, and whether the loss is finite. With `skip=True`, training goes
    on: the step doesn't count in the epoch's loss and metrics, and a layer whose carried training state is no longer
    finite starts from zero again. `model.optimizer.skipped_steps` has the count.

    Whatever `skip` is, training stops at the end of an epoch without a single good step, or after which `val_loss` or a
    weight isn't finite. Under mixed precision, Keras itself leaves steps out to find the scale of the loss. As their
    loss is finite, they are neither reported nor counted.

    Other optimizers apply gradients that aren't finite. This callback then finds the fault by the next step's loss, or
    by the weights at the epoch's end, and `skip=True` isn't possible.

    Put it after `awd_lstm(dataset)`, and before what saves the model.

    Args:
        dataset: the `BPTTDataset` that is passed to `fit`, for the window that the message names; or None.
        skip: boolean, whether to go on.

    Raises:
        ValueError: if `skip` isn't a boolean; when training starts, if it is True and the model isn't compiled with
            `NTASGD`.
        FloatingPointError: as above.

    Example:

    >>> import keras, numpy as np
    >>> from awd_keras.callbacks import CatchNonFinite
    >>> from awd_keras.optimizers import NTASGD
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile(NTASGD(learning_rate=0.1), loss="mse")
    >>> x = np.array([[1.0], [np.nan], [3.0]], "float32")
    >>> try:
    ...     history = model.fit(
    ...         x, x, batch_size=1, shuffle=False, callbacks=[CatchNonFinite()], verbose=0
    ...     )
    ... except FloatingPointError as error:
    ...     print(error)
    In epoch 1, step 2, the loss is nan and the gradients aren't finite.
    >>> history = model.fit(
    ...     x, x, batch_size=1, callbacks=[CatchNonFinite(skip=True)], verbose=0
    ... )
    >>> model.optimizer.skipped_steps
    2
    """

    def __init__(self, dataset: keras.utils.PyDataset | None = None, skip: bool = False):
        super().__init__()
        check_boolean("skip", skip)
        self.dataset: Any = dataset
        self.skip = skip
        self.any_optimizer = not skip
        self._passes: Passes | None = None
        self._windows: list[tuple[int, int]] = []
        self._epoch = 0
        self._skipped = 0
        self._good_steps = 0
        self._metrics: list[np.ndarray] = []

    def on_train_begin(self, logs=None):
        self._skipped = averaging_optimizer(self).skipped_steps
        if self.dataset is not None:
            self._passes = Passes(len(self.dataset), self.params["steps"])

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._good_steps = 0
        if self._passes is not None:
            # Read now: Keras reads ahead, so the dataset may be in its next epoch when the last step is made.
            windows = zip(self.dataset.window_starts(), self.dataset.window_lengths(), strict=True)
            self._windows = list(windows)[self._passes.next_epoch() :]

    def on_train_batch_end(self, batch, logs=None):
        skipped = averaging_optimizer(self).skipped_steps
        loss = (logs or {}).get("loss", 0.0)
        found = []
        if not math.isfinite(loss):
            found.append(f"the loss is {loss}")
        if skipped > self._skipped:
            found.append("the gradients aren't finite")
        self._skipped = skipped
        if not found:
            self._good_steps += 1
            if self.skip:
                self._metrics = [ops.convert_to_numpy(variable) for variable in self.model.metrics_variables]
        elif self.skip:
            self._forget_step()
        else:
            raise FloatingPointError(f"In {self._where(batch)}, {' and '.join(found)}.")

    def on_epoch_end(self, epoch, logs=None):
        if self._good_steps == 0:
            raise FloatingPointError(f"In epoch {epoch + 1}, no step had a finite loss and finite gradients.")
        loss = (logs or {}).get("val_loss", 0.0)
        if not math.isfinite(loss):
            raise FloatingPointError(f"In the validation after epoch {epoch + 1}, the loss is {loss}.")
        # With a far too large learning rate, the weights overflow though the gradients are finite. Checked once an
        # epoch only, as it reads all weights.
        for variable in self.model.trainable_variables:
            if not _is_finite(variable):
                raise FloatingPointError(f"After epoch {epoch + 1}, {variable.path} isn't finite.")

    def _where(self, batch):
        where = f"epoch {self._epoch + 1}, step {batch + 1}"
        if self._windows:
            start, length = self._windows[batch]
            where += f" (a window of {length} tokens, from token {start + 1} of each row on)"
        return where

    def _forget_step(self):
        # The loss and the metrics are means over the epoch: one NaN would stay in them to its end.
        if self._good_steps == 0:
            self.model.reset_metrics()
        else:
            for variable, value in zip(self.model.metrics_variables, self._metrics, strict=True):
                variable.assign(value)
        for layer in flatten_layers(self.model):
            state = getattr(layer, "training_state", None) or ()
            if not all(map(_is_finite, state)):
                layer.reset_training_state()


def _is_finite(variable):
    return bool(np.isfinite(ops.convert_to_numpy(variable)).all())

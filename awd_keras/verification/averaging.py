"""Checks of NT-ASGD's averaging."""

import keras
import numpy as np
from keras import ops

from awd_keras.callbacks import awd_lstm
from awd_keras.optimizers import NTASGD
from awd_keras.verification.check import Check
from awd_keras.verification.small_model import difference, small_model, windows


def averaging_checks() -> list[Check]:
    """Averaging: off until the trigger, on from it, and what fit leaves in the model."""
    return [_trigger(), _averages()]


def _trigger():
    optimizer = NTASGD(non_monotone_interval=2)
    optimizer.build([keras.Variable(np.zeros(1, "float32"))])
    began = []
    # Two measures after the best one don't start it; the third one that is no better does.
    for measure in (3.0, 4.0, 5.0, 6.0, 7.0):
        optimizer.update_trigger(measure)
        began.append(optimizer.averaging)
    figure = began.index(True) + 1 if True in began else "never"
    return Check(
        "averaging begins when validation stops improving",
        figure == 4,
        str(figure),
        "the measure that starts it, of five ever worse ones with n = 2; must be 4",
    )


class _Iterates(keras.callbacks.Callback):
    """Keeps every iterate, and starts averaging after the third step."""

    def __init__(self):
        super().__init__()
        self.kept = []
        self.early = False

    def on_train_batch_end(self, batch, logs=None):
        optimizer = self.model.optimizer
        if batch == 2:
            self.early = optimizer.averaging
            optimizer.start_averaging()
        if batch >= 2:
            variables = self.model.trainable_variables
            self.kept.append([ops.convert_to_numpy(variable) for variable in variables])


def _averages():
    model = small_model()
    model.compile(optimizer=NTASGD(learning_rate=5.0))
    iterates = _Iterates()
    dataset = windows(count=8)
    callbacks = [*awd_lstm(dataset), iterates]
    model.fit(dataset, validation_data=windows(seed=1), callbacks=callbacks, verbose=0)
    found = [ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    means = [np.mean(steps, axis=0) for steps in zip(*iterates.kept, strict=True)]
    error = difference(found, means)
    moved = difference(found, iterates.kept[-1])
    return Check(
        "the averages are in the model after fit",
        not iterates.early and error < 1e-6 < moved,
        f"{error:.1e}, {moved:.1e} from the last",
        "largest difference from the mean of the iterates since the trigger; must be 0",
    )

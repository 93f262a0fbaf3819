"""Checks of the state that goes from window to window, and of NT-ASGD's averaging."""

import keras
import numpy as np
from keras import ops

from awd_keras.callbacks import awd_lstm
from awd_keras.optimizers import NTASGD
from awd_keras.verification.check import Check, difference, small_model, windows


def carried_state_checks() -> list[Check]:
    """Checks of the state: it is carried, validation doesn't change it, and it is zeroed."""
    return [
        _carried(training=False),
        _carried(training=True),
        *_in_fit(),
    ]


def _carried(training):
    model = small_model()
    x = windows()[0][0]
    whole = _logits(model, [x], training)
    halves = _logits(model, np.split(x, 2, axis=1), training)
    change = difference([whole], [halves])
    # The second half read from a zero state: the outputs if the state weren't carried.
    without = difference([whole[:, x.shape[1] // 2 :]], [_logits(model, [x[:, 4:]], training)])
    return Check(
        f"state is carried in {'training' if training else 'inference'}",
        change < 1e-5 < without,
        f"{change:.1e}, {without:.1e} without",
        "largest difference of two windows from one long window; must be below 1e-5",
    )


def _logits(model, pieces, training):
    for lstm in model.lstms:
        lstm.reset_state()
    return np.concatenate([ops.convert_to_numpy(model(piece, training=training)) for piece in pieces], axis=1)


class _Watch(keras.callbacks.Callback):
    """Records the training state at the beginning and end of epochs and of validation."""

    def __init__(self):
        super().__init__()
        self.at_epoch_begin = []
        self.at_test_begin = []
        self.at_test_end = []

    def on_epoch_begin(self, epoch, logs=None):
        self.at_epoch_begin.append(self._state())

    def on_test_begin(self, logs=None):
        self.at_test_begin.append(self._state())

    def on_test_end(self, logs=None):
        self.at_test_end.append(self._state())

    def _state(self):
        return [ops.convert_to_numpy(part) for lstm in self.model.lstms for part in lstm.training_state]


def _in_fit():
    model = small_model(weight_drop=0.5)
    model.compile()
    watch = _Watch()
    dataset = windows()
    model.fit(
        dataset,
        epochs=2,
        validation_data=windows(batch_size=3, seed=1),
        callbacks=[*awd_lstm(dataset), watch],
        verbose=0,
    )
    leaked = max(map(difference, watch.at_test_begin, watch.at_test_end))
    held = min(max(float(np.max(np.abs(part))) for part in state) for state in watch.at_test_begin)
    left = max(float(np.max(np.abs(part))) for state in watch.at_epoch_begin for part in state)
    return [
        Check(
            "validation leaves the training state as it is",
            leaked == 0 and held > 0,
            f"{leaked:.1e} of {held:.1e}",
            "largest change by a validation of another batch size; must be 0",
        ),
        Check(
            "state is zero at an epoch's start",
            left == 0,
            f"{left:.1e}",
            "largest training state when an epoch begins; must be 0",
        ),
    ]


def averaging_checks() -> list[Check]:
    """Checks of averaging: it begins at the trigger, and `fit` leaves the averages in the model."""
    return [_trigger(), _averages()]


def _trigger():
    optimizer = NTASGD(non_monotone_interval=2)
    optimizer.build([keras.Variable(np.zeros(1, "float32"))])
    began = []
    # With n = 2, two worse measures after the best one don't start averaging, but the third does.
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
    """Stores every iterate, and starts averaging after the third step."""

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
        "largest difference from the mean of the iterates since the trigger; must be below 1e-6",
    )

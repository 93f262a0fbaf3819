"""Evaluates and saves at the average, trains from the raw iterate."""

import keras

from awd_keras.callbacks.averaging_optimizer import averaging_optimizer


class SwapAveragedWeights(keras.callbacks.Callback):
    """Shows the averaged weights of `NTASGD` to all but training.

    In `fit`, once averaging has started, the averages are put in the model when validation begins
    (or, without validation, at the epoch's end) and stay until the next epoch begins: whatever
    is evaluated or saved in between has the averages, by a `ModelCheckpoint` anywhere in the list
    if there is validation, else after this callback. They are in the model when `fit` ends.
    Training always goes on from the raw iterate, also in the next `fit`, also with a model saved
    and loaded in between, or after an exception. What is saved in the middle of an epoch has the
    raw iterate.

    In `evaluate` and `predict` outside `fit`, the averages are put in the model, and what was
    there before is put back at the end.

    It never starts averaging, which is for `NonMonotonicTrigger`, or for `start_averaging` or `update_trigger` of the
    optimizer. Until then it does nothing.

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

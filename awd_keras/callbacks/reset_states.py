"""Carried state begins at zero where a text begins."""

from collections.abc import Sized

import keras

from awd_keras.backend.keras_private import flatten_layers
from awd_keras.callbacks.passes import Passes


class ResetStates(keras.callbacks.Callback):
    """Zeroes the state that layers carry from window to window, where a text begins anew.

    At each epoch's beginning, the training state: `reset_training_state()` of every layer of the
    model that has such a method, layers in layers included. At the beginning of `evaluate`, of
    validation in `fit` and of `predict`, the inference state: `reset_inference_state()`. As the two
    are separate, validation doesn't touch training.

    With `fit(steps_per_epoch=k)`, an epoch of `fit` may begin in the middle of the text, where the last one stopped. A
    callback that knows the dataset keeps the training state there, and zeroes it where a pass over the text begins.

    Source: section 4.1, where the state goes from one window of a stream to the next.

    Args:
        dataset: the `BPTTDataset` that is passed to `fit`, or anything else with a length; None if each epoch of
            `fit` begins a text.

    Example:

    >>> import keras, numpy as np
    >>> from awd_keras.callbacks import ResetStates
    >>> from awd_keras.layers import WeightDropLSTM
    >>> layer = WeightDropLSTM(3, stateful=True)
    >>> model = keras.Sequential([keras.Input((4, 2), batch_size=1), layer])
    >>> x = np.ones((1, 4, 2), "float32")
    >>> carried = [model.predict(x, verbose=0).tolist() for _ in range(2)]
    >>> carried[0] == carried[1]
    False
    >>> reset = [model.predict(x, verbose=0, callbacks=[ResetStates()]).tolist() for _ in range(2)]
    >>> reset[0] == reset[1] == carried[0]
    True
    """

    def __init__(self, dataset: Sized | None = None):
        super().__init__()
        self.dataset = dataset
        self._passes: Passes | None = None

    def on_train_begin(self, logs=None):
        self._passes = None if self.dataset is None else Passes(len(self.dataset), self.params["steps"])

    def on_epoch_begin(self, epoch, logs=None):
        if self._passes is None or self._passes.next_epoch() == 0:
            self._reset("reset_training_state")

    def on_test_begin(self, logs=None):
        self._reset("reset_inference_state")

    def on_predict_begin(self, logs=None):
        self._reset("reset_inference_state")

    def _reset(self, method):
        for layer in flatten_layers(self.model):
            if hasattr(layer, method):
                getattr(layer, method)()

"""What depends on where in the text an epoch of `fit` is: the carried state, and the learning rate."""

import math
import warnings
from collections.abc import Sized

import keras

from awd_keras import backend
from awd_keras.backend.keras_private import flatten_layers
from awd_keras.optimizers.scaled_rate import put_back_rate, scale_rate


class Passes:
    """Counts passes over a dataset. If `steps_per_epoch` is below the dataset's length, a pass takes several epochs.

    Keras continues in the dataset where the previous epoch stopped. If the number of windows isn't a multiple of the
    steps, a pass ends with a shorter epoch. Each `fit` begins a new pass, whatever its `initial_epoch`.

    Args:
        windows: the number of windows in a pass.
        steps: the number of steps in an epoch of `fit`, or None if Keras doesn't know it.
    """

    def __init__(self, windows: int, steps: int | None):
        self._steps = steps or windows
        self.epochs_per_pass = math.ceil(windows / self._steps)
        self._epochs = 0

    def next_epoch(self) -> int:
        """The window that the next epoch of this `fit` begins with."""
        window = self._epochs % self.epochs_per_pass * self._steps
        self._epochs += 1
        return window


class ResetStates(keras.callbacks.Callback):
    """Zeroes the state that layers carry from window to window, at the beginning of the text.

    At the beginning of each epoch, it zeroes the training state, by `reset_training_state()` of
    every layer that has this method, also of layers in layers. At the beginning of `evaluate`, of
    validation in `fit` and of `predict`, it zeroes the inference state, by
    `reset_inference_state()`. As the two are separate, validation doesn't change the training state.

    With `fit(steps_per_epoch=k)`, an epoch may begin in the middle of the text, where the previous one stopped. If the
    callback has the dataset, it keeps the training state there, and zeroes it where a pass over the text begins.

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
    >>> reset = [
    ...     model.predict(x, verbose=0, callbacks=[ResetStates()]).tolist()
    ...     for _ in range(2)
    ... ]
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


# Each length is compiled. More lengths than this take so long that the user should be told why.
_MANY_LENGTHS = 12


class ScaleLearningRate(keras.callbacks.Callback):
    """Multiplies the learning rate of each step by the window's length over the usual one.

        learning_rate * length / dataset.bptt

    As the loss is a mean over the window's tokens, a short window would otherwise weigh as much as
    a long one. The optimizer has the scaled rate only during the step: schedulers, logs and
    checkpoints see, and may change, the unscaled rate. At the beginning of each epoch, the callback
    tells the dataset the epoch, which decides its window lengths.

    With `fit(steps_per_epoch=k)`, an epoch takes k windows, and the next epoch continues after them. The callback then
    tells the dataset the number of the pass over the text, `epoch // ceil(len(dataset) / k)`, so that the lengths stay
    the same during a pass. Each `fit` begins with the first window of a pass, even if its `initial_epoch` is in the
    middle of one.

    If a step is interrupted, the rate is put back when `fit` of an `AWDLSTM` ends, and for other models when the next
    `fit` begins.

    With gradient accumulation, an update uses the rate of its last window.

    Source: section 4.1, "Variable length backpropagation sequences".

    Args:
        dataset: the `BPTTDataset` that is passed to `fit`, or an object with its `bptt`, `in_epoch`,
            `set_epoch(epoch)` and `window_lengths()`.

    Raises:
        ValueError: if `dataset` isn't like that.
        ValueError: when training starts, if the model is compiled with `steps_per_execution` above
            1 or with a learning rate that can't be set, or if `fit` reads another dataset.

    Warns:
        UserWarning: when training starts, if the model is compiled for each length and there are many lengths: the
            dataset's `length_multiple` makes them few.

    Example:

    >>> import keras, numpy as np
    >>> from awd_keras.callbacks import ScaleLearningRate
    >>> from awd_keras.data import BPTTDataset
    >>> dataset = BPTTDataset(np.arange(101) % 9, batch_size=2, bptt=20, variable=False)
    >>> model = keras.Sequential([keras.layers.Embedding(9, 9), keras.layers.Softmax()])
    >>> model.compile(keras.optimizers.SGD(0.5), loss="sparse_categorical_crossentropy")
    >>> rates = []
    >>> note = lambda batch, logs: rates.append(float(model.optimizer.learning_rate))
    >>> look = keras.callbacks.LambdaCallback(on_train_batch_begin=note)
    >>> history = model.fit(
    ...     dataset, callbacks=[ScaleLearningRate(dataset), look], verbose=0
    ... )
    >>> sorted(dataset.window_lengths().tolist())
    [10, 20, 20]
    >>> rates == [0.5 * length / 20 for length in dataset.window_lengths()]
    True
    """

    def __init__(self, dataset: keras.utils.PyDataset):
        super().__init__()
        for name in ("bptt", "in_epoch", "set_epoch", "window_lengths"):
            if not hasattr(dataset, name):
                raise ValueError(
                    "Argument `dataset` must be an `awd_keras.data.BPTTDataset` or have its "
                    f"`bptt`, `in_epoch`, `set_epoch` and `window_lengths`. Without one, take the "
                    "callbacks that you need, NonMonotonicTrigger(monitor) and SwapAveragedWeights() for NT-ASGD. "
                    f"Received: {type(dataset).__name__}"
                )
        self.dataset = dataset
        self._passes = Passes(1, 1)
        self._pass = 0
        self._lengths = ()

    def on_train_begin(self, logs=None):
        model = self.model
        if model.steps_per_execution > 1:
            raise ValueError(
                "Callback `ScaleLearningRate` sets the learning rate before each step, so "
                "`steps_per_execution` must be 1 in `compile`. "
                f"Received: steps_per_execution={model.steps_per_execution}"
            )
        if not isinstance(model.optimizer.learning_rate, keras.Variable):
            raise ValueError(
                "Callback `ScaleLearningRate` sets the learning rate before each step, so the "
                "optimizer's `learning_rate` must be a float; use a callback like "
                "`keras.callbacks.LearningRateScheduler` to change it. Received: an optimizer with "
                "a schedule"
            )
        lengths = self.dataset.window_lengths()
        different = len(set(lengths))
        if different > _MANY_LENGTHS and backend.compiles_each_length(model.jit_compile):
            warnings.warn(
                f"The model is compiled for each length of window, and an epoch has {different}, which takes long. "
                f"`BPTTDataset(..., length_multiple=AWDLSTM.length_multiple(bptt))` leaves five; for a model of your "
                "own, pass a tenth of `bptt`.",
                stacklevel=2,
            )
        self._passes = Passes(len(lengths), self.params["steps"])
        put_back_rate(model.optimizer)

    def on_epoch_begin(self, epoch, logs=None):
        window = self._passes.next_epoch()
        if window == 0:
            self._pass = epoch // self._passes.epochs_per_pass
        # Also in the middle of a pass: TensorFlow reads ahead, so the dataset may already have gone to the next epoch.
        self.dataset.set_epoch(self._pass)
        self._lengths = self.dataset.window_lengths()[window:]

    def on_train_batch_begin(self, batch, logs=None):
        # `set_epoch` has marked the dataset as unread, so only this `fit` can have begun to read it.
        if batch == 0 and not self.dataset.in_epoch:
            raise ValueError(
                "Callback `ScaleLearningRate` must be given the dataset that is passed to `fit`. Received: "
                f"dataset={self.dataset!r}, which `fit` doesn't read"
            )
        scale_rate(self.model.optimizer, float(self._lengths[batch]) / self.dataset.bptt)

    def on_train_batch_end(self, batch, logs=None):
        put_back_rate(self.model.optimizer)

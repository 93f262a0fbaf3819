"""All the callbacks that the paper's training needs, on one device and on several."""

import keras

from awd_keras.backend import devices
from awd_keras.callbacks.passes import ResetStates, ScaleLearningRate
from awd_keras.callbacks.trigger_and_swap import NonMonotonicTrigger, SwapAveragedWeights


def awd_lstm(dataset: keras.utils.PyDataset, stop_training: bool = False) -> list[keras.callbacks.Callback]:
    """The callbacks that train an AWD-LSTM as the paper does, in the right order.

    `ScaleLearningRate` first: others see the optimizer's own rate at a step's end. `ResetStates`
    zeroes carried state. `NonMonotonicTrigger`, on `val_perplexity`, comes before
    `SwapAveragedWeights`, so that an epoch whose validation starts averaging ends with the average
    in the model like all later ones. `SynchronizeReplicas` is for several processes, each with a
    part of the rows. Put callbacks of your own after them, so that what they save has the epoch's
    measure in the optimizer.

    They train with any optimizer whose learning rate is a number. With another one than `NTASGD`,
    `NonMonotonicTrigger` and `SwapAveragedWeights` do nothing. If you make these two yourself, they refuse it.

    Source: sections 3 and 4.1; section 5 for fine-tuning.

    Args:
        dataset: the `BPTTDataset` that is passed to `fit`.
        stop_training: boolean. True for the fine-tuning phase, which `NonMonotonicTrigger` then ends.

    Returns:
        List of five callbacks.

    Raises:
        ValueError: if `dataset` isn't like a `BPTTDataset`, or `stop_training` isn't a boolean.

    Example:

    >>> import numpy as np
    >>> from awd_keras.callbacks import awd_lstm
    >>> from awd_keras.data import BPTTDataset
    >>> dataset = BPTTDataset(np.arange(1000), batch_size=4)
    >>> for callback in awd_lstm(dataset):
    ...     print(type(callback).__name__)
    ScaleLearningRate
    ResetStates
    NonMonotonicTrigger
    SwapAveragedWeights
    SynchronizeReplicas
    """
    of_averages = NonMonotonicTrigger(stop_training=stop_training), SwapAveragedWeights()
    for callback in of_averages:
        callback.any_optimizer = True
    return [ScaleLearningRate(dataset), ResetStates(dataset), *of_averages, SynchronizeReplicas(dataset)]


class SynchronizeReplicas(keras.callbacks.Callback):
    """Has several processes that each call `fit` train one model together. For a single process, it does nothing.

    On PyTorch, which runs a process for each device, all processes start with the first one's weights, and each step
    averages the gradients over the processes by `DistributedDataParallel`. An epoch's loss and metrics are those of the
    rows of all processes. On JAX and TensorFlow, Keras does both.

    Each process must `fit` its own rows, `dataset.shard(count, number)`. Only TensorFlow splits a dataset itself.
    Validation isn't split: on PyTorch every process reads all of `validation_data`.

    Args:
        dataset: the `BPTTDataset` that is passed to `fit`.

    Raises:
        ValueError: when training starts, if there are several processes and the dataset isn't split for as many.

    Example:

    >>> import numpy as np
    >>> from awd_keras.callbacks import SynchronizeReplicas
    >>> from awd_keras.data import BPTTDataset
    >>> from awd_keras.models import AWDLSTM
    >>> dataset = BPTTDataset(np.arange(200) % 9, batch_size=4, variable=False)
    >>> model = AWDLSTM(9, embedding_dim=4, hidden_units=8, num_layers=1)
    >>> model.compile()
    >>> history = model.fit(dataset, callbacks=[SynchronizeReplicas(dataset)], verbose=0)
    """

    def __init__(self, dataset: keras.utils.PyDataset):
        super().__init__()
        self.dataset = dataset

    def on_train_begin(self, logs=None):
        _, count = devices.process()
        shards = getattr(self.dataset, "num_shards", 1)
        if count > 1 and shards != count:
            raise ValueError(
                f"There are {count} processes, and each must be given its own rows: `fit` on "
                f"`dataset.shard({count}, number)`. Received: a dataset of {shards} shards"
            )
        devices.replicate(self.model)

    def on_train_batch_end(self, batch, logs=None):
        # Now, as Keras reads the epoch's metrics right after the last step.
        if batch + 1 == self.params["steps"]:
            devices.average_values(self.model.metrics_variables)

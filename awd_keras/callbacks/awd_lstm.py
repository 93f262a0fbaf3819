"""All the callbacks that the paper's training needs."""

import keras

from awd_keras.callbacks.non_monotonic_trigger import NonMonotonicTrigger
from awd_keras.callbacks.reset_states import ResetStates
from awd_keras.callbacks.scale_learning_rate import ScaleLearningRate
from awd_keras.callbacks.swap_averaged_weights import SwapAveragedWeights
from awd_keras.callbacks.synchronize_replicas import SynchronizeReplicas


def awd_lstm(dataset: keras.utils.PyDataset, stop_training: bool = False) -> list[keras.callbacks.Callback]:
    """The callbacks that train an AWD-LSTM as the paper does, in the right order.

    `ScaleLearningRate` first: others see the optimizer's own rate at a step's end. `ResetStates`
    zeroes carried state. `NonMonotonicTrigger`, on `val_perplexity`, comes before
    `SwapAveragedWeights`, so that an epoch whose validation starts averaging ends with the average
    in the model like all later ones. `SynchronizeReplicas` is for several processes, each with a
    part of the rows. Put callbacks of your own behind them, so that what they save has the epoch's
    measure in the optimizer.

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
    return [
        ScaleLearningRate(dataset),
        ResetStates(dataset),
        NonMonotonicTrigger(stop_training=stop_training),
        SwapAveragedWeights(),
        SynchronizeReplicas(dataset),
    ]

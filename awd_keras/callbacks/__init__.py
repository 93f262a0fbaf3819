"""Callbacks, to be passed to `fit` (some to `evaluate` and `predict` too)."""

from awd_keras.callbacks.awd_lstm import awd_lstm
from awd_keras.callbacks.catch_non_finite import CatchNonFinite
from awd_keras.callbacks.non_monotonic_trigger import NonMonotonicTrigger
from awd_keras.callbacks.reset_states import ResetStates
from awd_keras.callbacks.scale_learning_rate import ScaleLearningRate
from awd_keras.callbacks.swap_averaged_weights import SwapAveragedWeights
from awd_keras.callbacks.synchronize_replicas import SynchronizeReplicas

__all__ = [
    "CatchNonFinite",
    "NonMonotonicTrigger",
    "ResetStates",
    "ScaleLearningRate",
    "SwapAveragedWeights",
    "SynchronizeReplicas",
    "awd_lstm",
]

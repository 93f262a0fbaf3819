"""Callbacks, to be passed to `fit` (some to `evaluate` and `predict` too)."""

from awd_keras.callbacks.catch_non_finite import CatchNonFinite
from awd_keras.callbacks.gradual_unfreezing import GradualUnfreezing
from awd_keras.callbacks.paper import SynchronizeReplicas, awd_lstm
from awd_keras.callbacks.passes import ResetStates, ScaleLearningRate
from awd_keras.callbacks.trigger_and_swap import NonMonotonicTrigger, SwapAveragedWeights

__all__ = [
    "CatchNonFinite",
    "GradualUnfreezing",
    "NonMonotonicTrigger",
    "ResetStates",
    "ScaleLearningRate",
    "SwapAveragedWeights",
    "SynchronizeReplicas",
    "awd_lstm",
]

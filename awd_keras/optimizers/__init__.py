"""The paper's optimizer NT-ASGD, and wrappers that change the steps of any Keras optimizer."""

from awd_keras.optimizers import schedules
from awd_keras.optimizers.l2_weight_decay import L2WeightDecay
from awd_keras.optimizers.layerwise_learning_rate import LayerwiseLearningRate
from awd_keras.optimizers.ntasgd import NTASGD

__all__ = ["NTASGD", "L2WeightDecay", "LayerwiseLearningRate", "schedules"]

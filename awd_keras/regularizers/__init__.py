"""The penalties on activations."""

from awd_keras.regularizers.activation_regularizer import ActivationRegularizer
from awd_keras.regularizers.temporal_activation_regularizer import TemporalActivationRegularizer

__all__ = ["ActivationRegularizer", "TemporalActivationRegularizer"]

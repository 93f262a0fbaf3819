"""The penalties on activations."""

from awd_keras.regularizers.activation import ActivationRegularizer, TemporalActivationRegularizer

__all__ = ["ActivationRegularizer", "TemporalActivationRegularizer"]

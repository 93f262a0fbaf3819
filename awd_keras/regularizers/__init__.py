"""The penalties on activations, AR and TAR, for `activity_regularizer=` of a layer."""

from awd_keras.regularizers.activation import ActivationRegularizer, TemporalActivationRegularizer

__all__ = ["ActivationRegularizer", "TemporalActivationRegularizer"]

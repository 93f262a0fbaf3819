"""Text from a trained model."""

from awd_keras.generation.generate import generate

__all__ = ["generate"]

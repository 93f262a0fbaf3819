"""Text from a trained model."""

from awd_keras.generation.generate import generate, stream

__all__ = ["generate", "stream"]

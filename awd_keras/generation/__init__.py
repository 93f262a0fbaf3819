"""Text from a trained model."""

from awd_keras.generation.generate import generate
from awd_keras.generation.stream import stream

__all__ = ["generate", "stream"]

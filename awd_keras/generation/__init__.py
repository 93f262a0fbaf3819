"""Writes text with a trained model."""

from awd_keras.generation.generate import generate, stream
from awd_keras.generation.next_words import next_words

__all__ = ["generate", "next_words", "stream"]

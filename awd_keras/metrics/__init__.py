"""What language models are measured by."""

from awd_keras.metrics.bits_per_character import BitsPerCharacter
from awd_keras.metrics.mean_cross_entropy import MeanCrossEntropy
from awd_keras.metrics.perplexity import Perplexity

__all__ = ["BitsPerCharacter", "MeanCrossEntropy", "Perplexity"]

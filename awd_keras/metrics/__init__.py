"""Metrics of language models."""

from awd_keras.metrics.mean_cross_entropy import BitsPerCharacter, MeanCrossEntropy, Perplexity

__all__ = ["BitsPerCharacter", "MeanCrossEntropy", "Perplexity"]

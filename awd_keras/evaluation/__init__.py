"""Scores of a trained model."""

from awd_keras.evaluation.perplexity import Score, perplexity

__all__ = ["Score", "perplexity"]

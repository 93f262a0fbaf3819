"""Scores of a trained model."""

from awd_keras.evaluation.cache import cache_perplexity, tune_cache
from awd_keras.evaluation.dynamic import dynamic_perplexity, gradient_rms, tune_dynamic
from awd_keras.evaluation.perplexity import Score, Trial, perplexity
from awd_keras.evaluation.surprisal import SurprisalTable, WordCost, WordSurprisal, surprisal

__all__ = [
    "Score",
    "SurprisalTable",
    "Trial",
    "WordCost",
    "WordSurprisal",
    "cache_perplexity",
    "dynamic_perplexity",
    "gradient_rms",
    "perplexity",
    "surprisal",
    "tune_cache",
    "tune_dynamic",
]

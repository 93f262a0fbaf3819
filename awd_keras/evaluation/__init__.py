"""Scores of a trained model."""

from awd_keras.evaluation.cache import cache_perplexity
from awd_keras.evaluation.dynamic import dynamic_perplexity, gradient_rms
from awd_keras.evaluation.perplexity import Score, perplexity
from awd_keras.evaluation.surprisal import surprisal
from awd_keras.evaluation.surprisal_table import SurprisalTable, WordCost, WordSurprisal
from awd_keras.evaluation.tuning import Trial, tune_cache, tune_dynamic

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

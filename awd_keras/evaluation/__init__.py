"""Scores of a trained model."""

from awd_keras.evaluation.cache_perplexity import cache_perplexity
from awd_keras.evaluation.dynamic_perplexity import dynamic_perplexity
from awd_keras.evaluation.gradient_rms import gradient_rms
from awd_keras.evaluation.perplexity import perplexity
from awd_keras.evaluation.score import Score
from awd_keras.evaluation.surprisal import surprisal
from awd_keras.evaluation.surprisal_table import SurprisalTable
from awd_keras.evaluation.trial import Trial
from awd_keras.evaluation.tune_cache import tune_cache
from awd_keras.evaluation.tune_dynamic import tune_dynamic
from awd_keras.evaluation.word_cost import WordCost
from awd_keras.evaluation.word_surprisal import WordSurprisal

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

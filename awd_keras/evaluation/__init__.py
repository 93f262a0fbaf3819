"""Scores of a trained model."""

from awd_keras.evaluation.cache_perplexity import cache_perplexity
from awd_keras.evaluation.dynamic_perplexity import dynamic_perplexity
from awd_keras.evaluation.gradient_rms import gradient_rms
from awd_keras.evaluation.perplexity import perplexity
from awd_keras.evaluation.score import Score
from awd_keras.evaluation.trial import Trial
from awd_keras.evaluation.tune_cache import tune_cache
from awd_keras.evaluation.tune_dynamic import tune_dynamic

__all__ = [
    "Score",
    "Trial",
    "cache_perplexity",
    "dynamic_perplexity",
    "gradient_rms",
    "perplexity",
    "tune_cache",
    "tune_dynamic",
]

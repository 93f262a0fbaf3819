"""How well a trained model predicts a text: perplexity, the cost of each word, scores of sentences."""

from awd_keras.evaluation.cache import cache_perplexity, tune_cache
from awd_keras.evaluation.dynamic import dynamic_perplexity, gradient_rms, tune_dynamic
from awd_keras.evaluation.ngrams import ngram_perplexity
from awd_keras.evaluation.perplexity import Score, Trial, perplexity
from awd_keras.evaluation.surprisal import SurprisalTable, WordCost, WordSurprisal, surprisal
from awd_keras.evaluation.texts import TextScore, score_texts

__all__ = [
    "Score",
    "SurprisalTable",
    "TextScore",
    "Trial",
    "WordCost",
    "WordSurprisal",
    "cache_perplexity",
    "dynamic_perplexity",
    "gradient_rms",
    "ngram_perplexity",
    "perplexity",
    "score_texts",
    "surprisal",
    "tune_cache",
    "tune_dynamic",
]

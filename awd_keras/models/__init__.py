"""The AWD-LSTM language model and its presets, a text classifier, and functions that convert models and weights."""

from awd_keras.models.adapt_vocabulary import adapt_vocabulary
from awd_keras.models.awd_lstm import AWDLSTM
from awd_keras.models.foreign_weights import load_torch_weights
from awd_keras.models.inference_step import inference_step
from awd_keras.models.layout_map import layout_map
from awd_keras.models.presets import PRESETS, Preset
from awd_keras.models.text_classifier import TextClassifier

__all__ = [
    "AWDLSTM",
    "PRESETS",
    "Preset",
    "TextClassifier",
    "adapt_vocabulary",
    "inference_step",
    "layout_map",
    "load_torch_weights",
]

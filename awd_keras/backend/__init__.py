"""All that differs between frameworks, under the same few names in each file.

The functions are taken from the file of the framework that Keras runs on, and from `generic` for any other. The masks
of tensors are Keras's own, the same everywhere, but not public.
"""

import importlib

import keras
from keras.src.backend import get_keras_mask, set_keras_mask

from awd_keras.backend.generic import lstm as generic_lstm

_name = keras.config.backend()
framework = importlib.import_module(
    f"awd_keras.backend.{_name if _name in ('jax', 'tensorflow', 'torch') else 'generic'}"
)

average = framework.average
compiles_each_length = framework.compiles_each_length
descend = framework.descend
global_norm = framework.global_norm
jit_compile = framework.jit_compile
keep_mask = framework.keep_mask
lstm = framework.lstm
lstm_supports_jit = framework.lstm_supports_jit
no_gradients = framework.no_gradients

__all__ = [
    "average",
    "compiles_each_length",
    "descend",
    "generic_lstm",
    "get_keras_mask",
    "global_norm",
    "jit_compile",
    "keep_mask",
    "lstm",
    "lstm_supports_jit",
    "no_gradients",
    "set_keras_mask",
]

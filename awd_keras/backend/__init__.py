"""All that differs between frameworks, under the same few names in each file.

The functions are taken from the file of the framework that Keras runs on, and from `generic` for any other. The loop
over time, the masks of tensors, and the mean of a loss, are Keras's own, the same everywhere, but not public.
"""

import importlib

import keras
from keras.src.backend import get_keras_mask, rnn, set_keras_mask
from keras.src.losses.loss import reduce_weighted_values

from awd_keras.backend.add_bias import add_bias
from awd_keras.backend.generic import lstm as generic_lstm
from awd_keras.backend.softmax import generic_linear_cross_entropy, linear_cross_entropy, register_structure
from awd_keras.backend.sum_dtype import sum_dtype

_name = keras.config.backend()
framework = importlib.import_module(
    f"awd_keras.backend.{_name if _name in ('jax', 'tensorflow', 'torch') else 'generic'}"
)

affine = framework.affine
average = framework.average
can_assign = framework.can_assign
check_first_run = framework.check_first_run
compiles_each_length = framework.compiles_each_length
cross_entropy = framework.cross_entropy
descend = framework.descend
device_name = framework.device_name
drop = framework.drop
exporting = framework.exporting
global_norm = framework.global_norm
jit_compile = framework.jit_compile
keep_by_columns = framework.keep_by_columns
keep_losses = framework.keep_losses
keep_mask = framework.keep_mask
kept_losses = framework.kept_losses
locked_dropout = framework.locked_dropout
lstm = framework.lstm
lstm_supports_jit = framework.lstm_supports_jit
map_flat = framework.map_flat
product = framework.product
rematerialize = framework.rematerialize
untransformed = framework.untransformed
weighted_sums = framework.weighted_sums

__all__ = [
    "add_bias",
    "affine",
    "average",
    "can_assign",
    "check_first_run",
    "compiles_each_length",
    "cross_entropy",
    "descend",
    "device_name",
    "drop",
    "exporting",
    "generic_linear_cross_entropy",
    "generic_lstm",
    "get_keras_mask",
    "global_norm",
    "jit_compile",
    "keep_by_columns",
    "keep_losses",
    "keep_mask",
    "kept_losses",
    "linear_cross_entropy",
    "locked_dropout",
    "lstm",
    "lstm_supports_jit",
    "map_flat",
    "product",
    "reduce_weighted_values",
    "register_structure",
    "rematerialize",
    "rnn",
    "set_keras_mask",
    "sum_dtype",
    "untransformed",
    "weighted_sums",
]

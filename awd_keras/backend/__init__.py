"""All that differs between frameworks.

This folder and each one below have a `generic.py` with the default of every function, written with `keras.ops`. A
framework's file overrides the functions that can be done better there, and contains nothing else.
"""

from awd_keras.backend.generic import linear_cross_entropy as generic_linear_cross_entropy
from awd_keras.backend.generic import rows_at_a_time
from awd_keras.backend.keras_private import get_keras_mask, reduce_weighted_values, set_keras_mask
from awd_keras.backend.of_framework import of_framework
from awd_keras.backend.precision import add_bias, sum_dtype
from awd_keras.backend.recurrence import (
    generic_gru,
    generic_lstm,
    generic_mogrifier,
    gru,
    lstm,
    lstm_supports_jit,
    masked,
    mogrifier,
    step_by_step,
    weighted_sums,
)

_framework = of_framework(__name__)

affine = _framework.affine
average = _framework.average
can_assign = _framework.can_assign
compiles_each_length = _framework.compiles_each_length
cross_entropy = _framework.cross_entropy
descend = _framework.descend
device_name = _framework.device_name
drop = _framework.drop
exporting = _framework.exporting
global_norm = _framework.global_norm
jit_compile = _framework.jit_compile
keep_by_columns = _framework.keep_by_columns
keep_losses = _framework.keep_losses
keep_mask = _framework.keep_mask
large_vocabulary = _framework.large_vocabulary
kept_losses = _framework.kept_losses
linear_cross_entropy = _framework.linear_cross_entropy
keep_programs = _framework.keep_programs
locked_dropout = _framework.locked_dropout
map_flat = _framework.map_flat
product = _framework.product
register_structure = _framework.register_structure
rematerialize = _framework.rematerialize
runs_again = _framework.runs_again
shrink_steps = _framework.shrink_steps
untransformed = _framework.untransformed

__all__ = [
    "add_bias",
    "affine",
    "average",
    "can_assign",
    "compiles_each_length",
    "cross_entropy",
    "descend",
    "device_name",
    "drop",
    "exporting",
    "generic_gru",
    "generic_linear_cross_entropy",
    "generic_lstm",
    "generic_mogrifier",
    "get_keras_mask",
    "global_norm",
    "gru",
    "jit_compile",
    "keep_by_columns",
    "keep_losses",
    "keep_mask",
    "keep_programs",
    "kept_losses",
    "large_vocabulary",
    "linear_cross_entropy",
    "locked_dropout",
    "lstm",
    "lstm_supports_jit",
    "map_flat",
    "masked",
    "mogrifier",
    "product",
    "reduce_weighted_values",
    "register_structure",
    "rematerialize",
    "rows_at_a_time",
    "runs_again",
    "set_keras_mask",
    "shrink_steps",
    "step_by_step",
    "sum_dtype",
    "untransformed",
    "weighted_sums",
]

"""A softmax of more words than logits fit: all that differs between frameworks, under the same names in each file."""

import importlib

import keras

from awd_keras.backend.softmax.generic import linear_cross_entropy as generic_linear_cross_entropy

_name = keras.config.backend()
framework = importlib.import_module(
    f"awd_keras.backend.softmax.{_name if _name in ('jax', 'tensorflow', 'torch') else 'generic'}"
)

linear_cross_entropy = framework.linear_cross_entropy
register_structure = framework.register_structure

__all__ = ["generic_linear_cross_entropy", "linear_cross_entropy", "register_structure"]

"""A softmax of more words than logits fit."""

from awd_keras.backend.of_framework import of_framework
from awd_keras.backend.softmax.generic import linear_cross_entropy as generic_linear_cross_entropy

_framework = of_framework(__name__)

linear_cross_entropy = _framework.linear_cross_entropy
register_structure = _framework.register_structure

__all__ = ["generic_linear_cross_entropy", "linear_cross_entropy", "register_structure"]

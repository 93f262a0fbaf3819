"""The parts of loops over time whose gradients are written by hand."""

from awd_keras.backend.loops.products import by_time, summed_over_rows, summed_products
from awd_keras.backend.of_framework import of_framework

_framework = of_framework(__name__)

by_hand = _framework.by_hand
loop = _framework.loop
products_in_steps = _framework.products_in_steps
sigmoid = _framework.sigmoid
tanh = _framework.tanh
transposed_products_in_steps = _framework.transposed_products_in_steps

__all__ = [
    "by_hand",
    "by_time",
    "loop",
    "products_in_steps",
    "sigmoid",
    "summed_over_rows",
    "summed_products",
    "tanh",
    "transposed_products_in_steps",
]

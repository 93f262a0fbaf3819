"""Runs a model's functions: in compiled programs, and on several devices, with each framework's own means."""

from awd_keras.backend.of_framework import of_framework

_framework = of_framework(__name__)

add_gradients = _framework.add_gradients
average_values = _framework.average_values
count_devices = _framework.count_devices
gradients = _framework.gradients
own_rows = _framework.own_rows
own_seed = _framework.own_seed
process = _framework.process
program = _framework.program
replicate = _framework.replicate
run_on = _framework.run_on
share_gradients = _framework.share_gradients
splits_variables = _framework.splits_variables

__all__ = [
    "add_gradients",
    "average_values",
    "count_devices",
    "gradients",
    "own_rows",
    "own_seed",
    "process",
    "program",
    "replicate",
    "run_on",
    "share_gradients",
    "splits_variables",
]

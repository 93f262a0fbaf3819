"""Several devices, by each framework's own engine: all that differs, under the same few names in each file."""

import importlib

import keras

_name = keras.config.backend()
framework = importlib.import_module(
    f"awd_keras.backend.devices.{_name if _name in ('jax', 'tensorflow', 'torch') else 'generic'}"
)

add_gradients = framework.add_gradients
average_values = framework.average_values
count_devices = framework.count_devices
own_rows = framework.own_rows
own_seed = framework.own_seed
process = framework.process
replicate = framework.replicate
run_on = framework.run_on
splits_variables = framework.splits_variables

__all__ = [
    "add_gradients",
    "average_values",
    "count_devices",
    "own_rows",
    "own_seed",
    "process",
    "replicate",
    "run_on",
    "splits_variables",
]

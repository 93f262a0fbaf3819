"""What is compiled with a model's variables: all that differs between frameworks, under the same names in each file."""

import importlib

import keras

_name = keras.config.backend()
framework = importlib.import_module(
    f"awd_keras.backend.programs.{_name if _name in ('jax', 'tensorflow', 'torch') else 'generic'}"
)

gradients = framework.gradients
program = framework.program

__all__ = ["gradients", "program"]

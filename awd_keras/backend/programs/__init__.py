"""What is compiled with a model's variables."""

from awd_keras.backend.of_framework import of_framework

_framework = of_framework(__name__)

gradients = _framework.gradients
program = _framework.program

__all__ = ["gradients", "program"]

"""The command line, `awd-keras` and `python -m awd_keras`: it parses, calls the public API and prints.

`KERAS_BACKEND` has to be set before Keras is imported, so nothing here imports Keras, or a namespace that does, before
a command's own function. Of a command, `add_...` declares the options and `run_...` does it.
"""

from awd_keras.cli.main import main

__all__ = ["main"]

"""The command line, `awd-keras` and `python -m awd_keras`: it parses, calls the public API and prints.

`KERAS_BACKEND` must be set before Keras is imported. So only the functions that run a command import Keras, or a
namespace that does. For each command, `add_...` declares its options and `run_...` runs it.
"""

from awd_keras.cli.main import main

__all__ = ["main"]

"""AWD-LSTM (Merity, Keskar, Socher 2017, arXiv 1708.02182) for Keras 3, on PyTorch, JAX and TensorFlow."""

import sys
from pathlib import Path

__version__ = "0.1.0"


def _is_command_line() -> bool:
    """Whether this process is `awd-keras` or `python -m awd_keras`."""
    if Path(sys.argv[0]).stem == "awd-keras":
        return True
    arguments = sys.orig_argv
    return "-m" in arguments and arguments[arguments.index("-m") + 1 :][:1] == ["awd_keras"]


# In Python, `import awd_keras` makes every class known to `keras.saving.load_model`. The command line must
# choose KERAS_BACKEND before Keras is imported, so it imports the namespaces itself, afterwards.
if not _is_command_line():
    from awd_keras import (
        callbacks,
        data,
        evaluation,
        generation,
        layers,
        losses,
        metrics,
        models,
        optimizers,
        regularizers,
        runs,
        verification,
    )

    __all__ = [
        "callbacks",
        "data",
        "evaluation",
        "generation",
        "layers",
        "losses",
        "metrics",
        "models",
        "optimizers",
        "regularizers",
        "runs",
        "verification",
    ]

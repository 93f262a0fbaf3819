"""AWD-LSTM (Merity, Keskar, Socher 2017, arXiv 1708.02182) for Keras 3, on PyTorch, JAX and TensorFlow."""

import sys
from pathlib import Path

__version__ = "0.1.0"


def _is_command_line() -> bool:
    """Whether this process is `awd-keras` or `python -m awd_keras`."""
    # `python -m` has "-m" in place of the program's name while it looks for the module.
    name = sys.argv[0] if sys.argv else ""
    if name == "-m":
        arguments = sys.orig_argv
        return arguments[arguments.index("-m") + 1 :][:1] == ["awd_keras"]
    return Path(name).name in ("awd-keras", "awd-keras.exe")


# In Python, `import awd_keras` makes every class known to `keras.saving.load_model`. The command line must
# choose KERAS_BACKEND before Keras is imported, so it imports the namespaces itself, afterwards.
if not _is_command_line():
    from awd_keras import (
        analysis,
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
        "analysis",
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

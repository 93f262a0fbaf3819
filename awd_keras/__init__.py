"""AWD-LSTM (Merity, Keskar, Socher 2017, arXiv 1708.02182) for Keras 3, on PyTorch, JAX and TensorFlow."""

import importlib
from typing import TYPE_CHECKING

from awd_keras._version import __version__ as __version__
from awd_keras._with_keras import import_with_keras

if TYPE_CHECKING:
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

# `import awd_keras` makes every class known to `keras.saving.load_model`, which needs Keras. The command line chooses
# KERAS_BACKEND before that.
import_with_keras(__all__)


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

"""Chooses a package's functions: those of the framework that Keras runs on, or else those of `generic`."""

import importlib
import types

import keras

FRAMEWORKS = ("jax", "tensorflow", "torch")


def of_framework(package: str) -> types.SimpleNamespace:
    """The public functions of a package's `generic.py`, each replaced by the framework's own function if there is one.

    A framework's file overrides functions, under the same names with the same signatures, and defines nothing else.

    Args:
        package: the name of the package, with the file `generic.py` and one for each framework.
    """
    generic = importlib.import_module(f"{package}.generic")
    name = keras.config.backend()
    own = importlib.import_module(f"{package}.{name}") if name in FRAMEWORKS else generic
    return types.SimpleNamespace(
        **{
            name: getattr(own, name, default)
            for name, default in vars(generic).items()
            if not name.startswith("_") and getattr(default, "__module__", None) == generic.__name__
        }
    )

"""Which framework the command line runs on."""

import importlib.util
import os
import sys

BACKENDS = ("jax", "torch", "tensorflow")


def choose_backend(name: str | None, trains: bool = True) -> None:
    """Sets `KERAS_BACKEND`: to the name, else the variable stays, else to the first backend that is installed.

    Args:
        name: one of `BACKENDS`, `"numpy"`, or None.
        trains: whether gradients will be needed, which Keras's NumPy backend has none of.

    Raises:
        ValueError: if there is no such backend, it isn't installed, can't do what is needed, or Keras has been
            imported with another one.
    """
    loaded = _loaded()
    chosen = name or os.environ.get("KERAS_BACKEND") or loaded or _first_installed()
    if chosen == "numpy" and trains:
        raise ValueError(f"Keras's NumPy backend can't train. The backend must be one of {', '.join(BACKENDS)}.")
    if chosen not in (*BACKENDS, "numpy"):
        raise ValueError(f"The backend must be one of {', '.join(BACKENDS)}. Received: {chosen!r}")
    # Keras's NumPy backend imports JAX, for what no model here has, convolutions for example.
    package = "jax" if chosen == "numpy" else chosen
    if importlib.util.find_spec(package) is None:
        raise ValueError(
            f"The backend {chosen!r} needs {package}, which is not installed. "
            f'To install it: pip install "awd-keras[{package}]"'
        )
    if loaded not in (None, chosen):
        raise ValueError(f"The backend can't become {chosen!r}: this process has imported Keras with {loaded!r}.")
    os.environ["KERAS_BACKEND"] = chosen
    # TensorFlow's C++ side talks much when it starts; what goes wrong still raises.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _loaded():
    keras = sys.modules.get("keras")
    return None if keras is None else keras.backend.backend()


def _first_installed():
    for name in BACKENDS:
        if importlib.util.find_spec(name) is not None:
            return name
    raise ValueError(
        'Keras has no backend here. To install one: pip install "awd-keras[jax]", '
        '"awd-keras[torch]" or "awd-keras[tensorflow]"'
    )

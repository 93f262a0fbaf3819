"""Initializers of several weights of a layer."""

import keras
import numpy as np


def reseeded(initializer, number):
    """An initializer like the given one, with another seed: with the same, matrices of one shape would be equal."""
    config = initializer.get_config() if isinstance(initializer, keras.initializers.Initializer) else {}
    if "seed" not in config:
        return initializer
    if isinstance(config["seed"], int):
        config["seed"] = int(np.random.SeedSequence([config["seed"], number]).generate_state(1)[0] >> 1)
    return type(initializer).from_config(config)

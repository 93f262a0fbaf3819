"""Where the draws of a layer's masks have got to, saved with its weights: Keras saves no seed generator."""

import numpy as np
from keras import ops

_NAME = "seed_state"


def save_seed_state(layer, store):
    """Puts the state of `layer.seed_generator`, if the layer has one, in what `save_own_variables` is given."""
    generator = getattr(layer, "seed_generator", None)
    if generator is not None:
        # Integers of 32 bits, signed or unsigned or in 64: each backend has its own type.
        store[_NAME] = ops.convert_to_numpy(generator.state).astype("uint32")


def load_seed_state(layer, store):
    """Takes the state back, and returns what else `load_own_variables` was given.

    A file without it, as other layers write them, and a layer that draws nothing, are let be.
    """
    generator = getattr(layer, "seed_generator", None)
    if generator is not None and _NAME in store:
        generator.state.assign(np.asarray(store[_NAME]).astype(generator.state.dtype))
    names = store.keys()  # Keras's view of an HDF5 group can't be walked itself
    return {name: store[name] for name in names if name != _NAME}

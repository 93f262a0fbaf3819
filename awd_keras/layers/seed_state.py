"""The seeds of a layer's masks, and where their draws had got to in files of before."""

from awd_keras import backend
from awd_keras.backend import devices
from awd_keras.layers.rematerialized import check_first_run

# Among the layer's own variables.
_NAME = "seed_state"


def next_seed(layer):
    """A seed that this layer hasn't drawn with yet, of this device's own."""
    check_first_run(layer)
    with backend.untransformed():
        return devices.own_seed(layer.seed_generator.next())


def load_seed_state(layer, store):
    """Takes the state, if it is there, and returns what else `load_own_variables` was given."""
    generator = getattr(layer, "seed_generator", None)
    if generator is not None and _NAME in store:
        generator.load(store[_NAME])
    names = store.keys()  # Keras's view of an HDF5 group can't be walked itself
    return {name: store[name] for name in names if name != _NAME}

"""The seed of a layer's next masks."""

from awd_keras import backend
from awd_keras.backend import devices


def next_seed(layer):
    """A seed that this layer hasn't drawn with yet, of this device's own."""
    backend.check_first_run(layer.name)
    with backend.untransformed():
        return devices.own_seed(layer.seed_generator.next())

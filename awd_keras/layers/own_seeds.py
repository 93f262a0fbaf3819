"""Seeds of masks that differ between devices."""

import keras

from awd_keras.backend import devices


class OwnSeeds(keras.random.SeedGenerator):
    """The seeds that a generator gives, with those of another device made others, where each draws for itself.

    So a generator's state is the same on all devices, and can be saved by any.

    Args:
        generator: the `keras.random.SeedGenerator` of a layer.
    """

    def __init__(self, generator):
        # Without a state of its own, which the layer would have in its files.
        self.generator = generator
        # Keras's dropout on PyTorch looks at it.
        self._initial_seed = generator._initial_seed

    def next(self, ordered=True):
        return devices.own_seed(self.generator.next(ordered))

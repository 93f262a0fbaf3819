"""A seed that has been drawn, for what wants a generator of seeds."""

import keras


class DrawnSeed(keras.random.SeedGenerator):
    """Gives the one seed that it is made of, whoever asks and wherever.

    A generator that gives a seed changes its state. Inside of a function that runs on each device by itself it can't.

    Args:
        seed: tensor of two integers, as a `keras.random.SeedGenerator` gives it.
    """

    def __init__(self, seed):
        # Without a state of its own, which the layer would have in its files.
        self.seed = seed
        # Keras's dropout on PyTorch looks whether there is one.
        self._initial_seed = seed

    def next(self, ordered=True):
        return self.seed

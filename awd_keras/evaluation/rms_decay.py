"""The steps of dynamic evaluation."""

import keras
import numpy as np
from keras import ops


class RMSDecay(keras.optimizers.Optimizer):
    """Gradient descent scaled by fixed root mean squares, with a decay back to where it began.

        w += min(1, decay * rms / mean(rms)) * (w_0 - w) - learning_rate * g / (rms + epsilon)

    Source: section 5 of Krause, Kahembwe, Murray, Renals (2017), arXiv 1709.07432. The mean is over all elements.

    Args:
        learning_rate: float of at least 0.
        decay: float of at least 0.
        epsilon: positive float.
        rms: list of arrays, one a variable.
    """

    def __init__(self, learning_rate, decay, epsilon, rms):
        super().__init__(learning_rate=learning_rate)
        self.decay = decay
        self.epsilon = epsilon
        self.rms = rms

    def build(self, variables):
        super().build(variables)
        mean = sum(float(np.sum(r, dtype="float64")) for r in self.rms) / sum(r.size for r in self.rms)
        self._starts, self._decays, self._scales = [], [], []
        for variable, rms in zip(variables, self.rms, strict=True):
            self._starts.append(self._constant(variable, ops.copy(variable), "start"))
            self._decays.append(self._constant(variable, np.minimum(1, self.decay * rms / mean), "decay"))
            self._scales.append(self._constant(variable, 1 / (rms + self.epsilon), "scale"))

    def _constant(self, variable, value, name):
        constant = self.add_variable_from_reference(variable, name=name)
        constant.assign(value)
        return constant

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        # On TensorFlow an embedding's gradient is a list of rows, in which a word that occurs twice has two.
        gradient = ops.reshape(gradient, variable.shape)
        step = ops.multiply(ops.cast(learning_rate, variable.dtype), ops.multiply(self._scales[index], gradient))
        back = ops.multiply(self._decays[index], ops.subtract(self._starts[index], variable))
        self.assign_add(variable, ops.subtract(back, step))

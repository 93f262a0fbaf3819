"""JAX: `keras.distribution`. One program, whose arrays are spread over the devices."""

import jax
import keras

from awd_keras.backend.devices import generic


class _Rows(keras.distribution.DataParallel):
    """Keras's, and every device computes a batch whole whose rows can't be split evenly, as validation may have it."""

    def get_data_layout(self, data_shape):
        if data_shape[0] % self.num_model_replicas == 0:
            return super().get_data_layout(data_shape)
        return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)


def count_devices(devices):
    """As `generic.count_devices`."""
    available = len(keras.distribution.list_devices())
    if devices == "all":
        return available
    if devices > available:
        raise ValueError(f"There are only {available} devices. Received: devices={devices}")
    return devices


def run_on(devices, function, *arguments):
    """As `generic.run_on`."""
    if count_devices(devices) == 1:
        return function(*arguments)
    with _Rows(devices=keras.distribution.list_devices()[:devices]).scope():
        return function(*arguments)


def process():
    """As `generic.process`."""
    return jax.process_index(), jax.process_count()


def replicate(model):
    """As `generic.replicate`: the program is one over all processes, and XLA adds the gradients."""


def average_values(variables):
    """As `generic.average_values`: all processes have the same."""


def add_gradients(gradients):
    """As `generic.add_gradients`: XLA has done it."""
    return generic.add_gradients(gradients)


def own_seed(seed):
    """As `generic.own_seed`: one mask is drawn for all devices, of which each has its rows."""
    return generic.own_seed(seed)


def splits_variables():
    """As `generic.splits_variables`."""
    return True

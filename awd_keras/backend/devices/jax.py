"""JAX: `keras.distribution`. One program, whose arrays are split over the devices, which may be of several processes.

XLA adds the gradients. A mask of all rows is drawn once, and each device gets the mask of its rows.
"""

import jax
import keras
from jax.sharding import PartitionSpec

from awd_keras.backend.devices import generic


class _Rows(keras.distribution.DataParallel):
    """Keras's `DataParallel`. If the rows of a batch can't be split evenly, every device computes the whole batch."""

    def get_data_layout(self, data_shape):
        if data_shape[0] % self.num_model_replicas == 0:
            return super().get_data_layout(data_shape)
        return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)


def count_devices(devices):
    available = len(keras.distribution.list_devices())
    if devices == "all":
        return available
    if devices > available:
        raise ValueError(f"There are only {available} devices. Received: devices={devices}")
    return devices


def run_on(devices, function, *arguments):
    if count_devices(devices) == 1:
        return function(*arguments)
    with _Rows(devices=keras.distribution.list_devices()[:devices]).scope():
        return function(*arguments)


def process():
    return jax.process_index(), jax.process_count()


def own_rows(function, batch, shared, seeds):
    """Uses `shard_map`, as XLA doesn't split a loop over time by itself: every device would compute all rows. It would
    also draw one mask of the weights for all devices.
    """
    distribution = keras.distribution.distribution()
    shape = batch[0].shape
    if distribution is None or not shape or shape[0] % distribution.num_model_replicas:
        return generic.own_rows(function, batch, shared, seeds)
    name = distribution.batch_dim_name

    def on_device(batch, shared, seeds):
        number = jax.lax.axis_index(name)
        seeds = [None if seed is None else jax.random.fold_in(seed, number) for seed in seeds]
        return function(*batch, *shared, *seeds)

    return jax.shard_map(
        on_device,
        mesh=distribution.device_mesh.backend_mesh,
        in_specs=(PartitionSpec(name), PartitionSpec(), PartitionSpec()),
        out_specs=PartitionSpec(name),
        # Hand-written gradients don't have the types of devices that this check needs.
        check_vma=False,
    )(batch, shared, seeds)


def splits_variables():
    return True


def program(function, model):
    """The compiled function takes the variables' values as arguments, and returns the values assigned to them."""

    @jax.jit
    def compiled(values, arguments):
        variables = model.variables
        with keras.StatelessScope(list(zip(variables, values, strict=True))) as scope:
            begun = [scope.get_current_value(variable) for variable in variables]
            outputs = function(model, *arguments)
        ended = [scope.get_current_value(variable) for variable in variables]
        pairs = enumerate(zip(begun, ended, strict=True))
        return outputs, {index: end for index, (begin, end) in pairs if end is not begin}

    def run(*arguments):
        variables = model.variables
        outputs, assigned = compiled([variable.value for variable in variables], arguments)
        for index, value in assigned.items():
            variables[index].assign(value)
        return outputs

    return run


def gradients(loss, model):
    trainable = model.trainable_variables
    places = {id(variable) for variable in trainable}
    others = [variable for variable in model.variables if id(variable) not in places]
    # `loss` runs in a scope of its own, which doesn't see the values of the program's scope. So these are passed in,
    # and what `loss` assigns is returned.
    known = [(variable, variable.value) for variable in others]

    def value_of(values):
        with keras.StatelessScope([*known, *zip(trainable, values, strict=True)]) as scope:
            value = loss()
        return value, [scope.get_current_value(variable) for variable in others]

    values = [variable.value for variable in trainable]
    (value, ended), found = jax.value_and_grad(value_of, has_aux=True)(values)
    for variable, end in zip(others, ended, strict=True):
        variable.assign(end)
    return value, found

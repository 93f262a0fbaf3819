"""TensorFlow: `tf.distribute.MirroredStrategy`. Each device has a copy of every variable, and only its own rows.

TensorFlow splits a dataset between several hosts by itself, and adds the values of all devices when a metric is read.
"""

import functools

import tensorflow as tf
from keras import ops

# A large number, so that the seeds of neighbouring devices never equal those of neighbouring layers or steps.
_STRIDE = 1640531527


def count_devices(devices):
    available = len(_devices())
    if devices == "all":
        return available
    if devices > available:
        raise ValueError(f"There are only {available} devices. Received: devices={devices}")
    return devices


def run_on(devices, function, *arguments):
    if count_devices(devices) == 1:
        return function(*arguments)
    with tf.distribute.MirroredStrategy(_devices()[:devices]).scope():
        return function(*arguments)


def _devices():
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [device.name for device in devices]


def replicate(model):
    """Checks the optimizer. The variables are copies from the beginning, and the optimizer adds the gradients.

    Raises:
        ValueError: if the optimizer accumulates gradients on several devices, where Keras's accumulation fails.
    """
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1:
        return
    optimizer = model.optimizer
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    steps = optimizer.gradient_accumulation_steps
    if steps:
        raise ValueError(
            "Argument `gradient_accumulation_steps` must be None on several devices of TensorFlow. "
            f"Received: gradient_accumulation_steps={steps} on {strategy.num_replicas_in_sync} devices"
        )
    on_several_hosts = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    if not on_several_hosts or not strategy.extended._in_multi_worker_mode() or "compute_metrics" in vars(model):
        return
    compute = model.compute_metrics

    @functools.wraps(compute)
    def computed(*args, **kwargs):
        # Keras takes the mean over hosts along the first axis, which a scalar doesn't have.
        return tf.nest.map_structure(lambda value: tf.expand_dims(value, 0), compute(*args, **kwargs))

    object.__setattr__(model, "compute_metrics", computed)


def add_gradients(gradients):
    """Adds them before clipping, as Keras's optimizers add gradients only after they have clipped them."""
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return gradients
    added = iter(replica.all_reduce(tf.distribute.ReduceOp.SUM, [g for g in gradients if g is not None]))
    return [None if g is None else next(added) for g in gradients]


def share_gradients(gradients):
    replica = tf.distribute.get_replica_context()
    count = 1 if replica is None else replica.num_replicas_in_sync
    return [gradient / count for gradient in gradients]


def own_seed(seed):
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return seed
    number = tf.cast(replica.replica_id_in_sync_group, seed.dtype)
    return seed + tf.stack([number * _STRIDE, tf.zeros_like(number)])


def program(function, model):
    """A graph; from the second length on, one graph serves all lengths."""

    def run(*arguments):
        return function(model, *arguments)

    return tf.function(run, autograph=False, reduce_retracing=True)


def gradients(loss, model):
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        value = loss()
    found = tape.gradient(value, [variable.value for variable in variables], unconnected_gradients="zero")
    # The gradient of an embedding is a list of rows, two for a word that occurs twice; reshaping makes it an array.
    return value, [ops.reshape(gradient, variable.shape) for gradient, variable in zip(found, variables, strict=True)]

"""What JAX computes on each device of its own rows of the batch, without a look at the others'."""

import jax
import keras
from jax.sharding import PartitionSpec


def own_rows(function, batch, shared):
    """Calls `function(*batch, *shared)` on every device of the current `keras.distribution`, with that device's rows.

    Left to itself, XLA splits what it can, and a loop over time isn't among it: every device would get all rows, and
    compute all of them.

    Args:
        function: of arrays; each of its results has the batch first.
        batch: list of arrays whose first axis is the batch.
        shared: list of arrays that every device has whole, and None.
    """
    distribution = keras.distribution.distribution()
    if distribution is None or batch[0].shape[0] % distribution.num_model_replicas:
        return function(*batch, *shared)
    rows = PartitionSpec(distribution.batch_dim_name)
    return jax.shard_map(
        function,
        mesh=distribution.device_mesh.backend_mesh,
        in_specs=(rows,) * len(batch) + (PartitionSpec(),) * len(shared),
        out_specs=rows,
        # Its gradients are written by hand, and say nothing of devices.
        check_vma=False,
    )(*batch, *shared)

"""On how many devices a run is trained."""

from awd_keras.backend import devices as engine
from awd_keras.checks import check_positive_integer


def count_devices(devices: int | str, batch_size: int) -> int:
    """The number of devices that `devices` are, a positive integer or `"all"`.

    Raises:
        ValueError: if it is something else, there are fewer, or they can't have as many rows of a batch each.
    """
    if devices != "all":
        check_positive_integer("devices", devices)
    count = engine.count_devices(devices)
    if batch_size % count:
        raise ValueError(
            f"Argument `devices` must divide the rows of a batch. Received: devices={count} with {batch_size=}"
        )
    return count

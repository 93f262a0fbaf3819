"""Where fine-tuning ends."""

import math

from awd_keras.optimizers import NTASGD


def stopped_epoch(lines: list[dict], non_monotone_interval: int) -> int | None:
    """The epoch of a fine-tuned run after which `awd_keras.callbacks.NonMonotonicTrigger` has stopped it, or `None`.

    Its metrics tell, as a run can be interrupted when its last checkpoint is written and its result isn't.

    Args:
        lines: the run's metrics, an epoch each.
        non_monotone_interval: that of its `NTASGD`.
    """
    # The same measures start the averaging of an optimizer that doesn't average yet.
    optimizer = NTASGD(non_monotone_interval=non_monotone_interval)
    optimizer.build([])
    for line in lines:
        # What wasn't finite is None in JSON.
        perplexity = math.inf if line["valid_perplexity"] is None else line["valid_perplexity"]
        if optimizer.update_trigger(perplexity):
            return line["epoch"]
    return None

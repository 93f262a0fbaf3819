"""A learning rate that is scaled for one step."""

import weakref

from keras import ops

# Optimizer -> (its own rate, the scaled rate), during a step. Not an attribute of a callback: if the step raises, the
# rate is put back later, perhaps by a new callback.
_scaled: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def scale_rate(optimizer, factor):
    """Multiplies the learning rate by a factor."""
    rate = float(ops.convert_to_numpy(optimizer.learning_rate))
    optimizer.learning_rate = rate * factor
    _scaled[optimizer] = rate, float(ops.convert_to_numpy(optimizer.learning_rate))


def put_back_rate(optimizer):
    """Undoes `scale_rate`. A rate that something else has set meanwhile stays."""
    rate, scaled = _scaled.pop(optimizer, (None, None))
    if rate is not None and float(ops.convert_to_numpy(optimizer.learning_rate)) == scaled:
        optimizer.learning_rate = rate

"""What is done to a model for a while."""

import contextlib

from keras import ops


@contextlib.contextmanager
def unchanged(model):
    """A context that leaves all variables of a built model as it found them, whatever ends it.

    That includes states and seeds: on JAX, a `fit` that is interrupted may have lost the values of any of them.
    """
    kept = [(variable, ops.convert_to_numpy(variable).copy()) for variable in model.variables]
    try:
        yield
    finally:
        for variable, value in kept:
            variable.assign(value)

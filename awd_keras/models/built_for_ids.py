"""A base of models that are built for ids, whatever Keras says that they are."""

import keras
from keras import ops


class BuiltForIds(keras.Model):
    """A `keras.Model` of ids and targets that are ids.

    On several devices of TensorFlow, Keras builds a model for the mean of what the devices have, and the mean of
    integers is none.
    """

    def _symbolic_build(self, *args, data_batch=None, **kwargs):
        if isinstance(data_batch, tuple):
            ids = (x if x is None else ops.cast(x, "int32") for x in data_batch[:2])
            data_batch = (*ids, *data_batch[2:])
        super()._symbolic_build(*args, data_batch=data_batch, **kwargs)

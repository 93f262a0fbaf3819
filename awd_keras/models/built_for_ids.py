"""A base of models that are built for ids, whatever Keras says that they are."""

import keras


class BuiltForIds(keras.Model):
    """A `keras.Model` of ids and targets that are ids.

    On several devices of TensorFlow, Keras builds a model for the mean of what the devices have, and the mean of
    integers is none; on several hosts, it fails. Here it is built for what the first device has.
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Keras has this for TensorFlow alone.
        if iterator is not None and self._distribute_strategy is not None:
            parts = self._distribute_strategy.experimental_local_results
            _, _, batches = next(iter(iterator))
            data_batch = keras.tree.map_structure(lambda x: parts(x)[0], next(batches))
            iterator = None
        super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)

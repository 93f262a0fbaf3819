"""The one thing that a dataset can't tell `fit` by Keras's public API: "don't shuffle me"."""

from keras.src.trainers.data_adapters.data_adapter import DataAdapter
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter


class InOrder(DataAdapter):
    """Mixin for a `keras.utils.PyDataset` whose items are read in their order, whatever `fit` says.

    `fit(shuffle=True)` is Keras's default, and it shuffles the items of a `PyDataset`. Items that
    carry state from one to the next would silently lose their meaning. Keras wraps a `PyDataset`
    in an adapter that shuffles, but takes an object that is a `DataAdapter` already as it is: so
    this one is, and hands each request on to an adapter that doesn't shuffle.
    """

    # In Keras's adapters this is a read-only property; datasets have it as an attribute.
    batch_size = None

    def get_numpy_iterator(self):
        return PyDatasetAdapter(self).get_numpy_iterator()

    def get_jax_iterator(self):
        return PyDatasetAdapter(self).get_jax_iterator()

    def get_tf_dataset(self):
        return PyDatasetAdapter(self).get_tf_dataset()

    def get_torch_dataloader(self):
        return PyDatasetAdapter(self).get_torch_dataloader()

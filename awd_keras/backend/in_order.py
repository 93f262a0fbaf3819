"""What a dataset can't tell `fit` by Keras's public API: "don't shuffle me", and "my batch size is fixed"."""

from typing import Any

from awd_keras.backend.keras_private import DataAdapter, PyDatasetAdapter


class InOrder(DataAdapter):
    """Mixin for a `keras.utils.PyDataset` of windows (batch, length), read in their order whatever `fit` says.

    `fit(shuffle=True)` is Keras's default, and it shuffles the items of a `PyDataset`. Items that
    carry state from one to the next would silently lose their meaning. Keras wraps a `PyDataset`
    in an adapter that shuffles, but takes an object that is a `DataAdapter` already as it is: so
    this one is, and hands each request on to an adapter that doesn't shuffle.
    """

    # In Keras's adapters this is a read-only property; datasets have it as an attribute.
    batch_size: Any = None

    def get_numpy_iterator(self):
        return PyDatasetAdapter(self).get_numpy_iterator()

    def get_jax_iterator(self):
        return PyDatasetAdapter(self).get_jax_iterator()

    def get_tf_dataset(self):
        import tensorflow as tf  # only here, as only TensorFlow asks for this

        # Keras's adapter would take the length of the windows from the first two, and raise at the first other one if
        # these happen to be equally long. And it would hide the batch size, which a carried state is built for.
        signature = tuple(tf.TensorSpec((x.shape[0], None), x.dtype) for x in self[0])
        windows = tf.data.Dataset.from_generator(self._items, output_signature=signature)
        # There is nothing to tune, and each epoch's end would wait for TensorFlow's tuner, which sleeps 10 ms, then
        # twice as long each time, at last a minute, and isn't woken.
        options = tf.data.Options()
        options.autotune.enabled = False
        windows = windows.prefetch(1).with_options(options)
        strategy = tf.distribute.get_strategy()
        replicas = strategy.num_replicas_in_sync
        if signature[0].shape[0] % replicas == 0:
            return windows
        # Rows that can't be split evenly, of a validation: some device might have none. Every one gets all of them.
        windows = windows.flat_map(lambda *window: tf.data.Dataset.from_tensors(window).repeat(replicas))
        return strategy.distribute_datasets_from_function(lambda _: windows)

    def _items(self):
        return (self[index] for index in range(len(self)))

    def get_torch_dataloader(self):
        return PyDatasetAdapter(self).get_torch_dataloader()

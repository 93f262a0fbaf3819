"""Every private name of Keras that is used anywhere, with the reason."""

from typing import Any

import keras
import numpy as np
from keras import activations, ops

# The loops over time: each framework has its own.
from keras.src import backend as _backend

# The masks that tensors carry.
from keras.src.backend.common.masking import get_keras_mask as get_keras_mask
from keras.src.backend.common.masking import set_keras_mask as set_keras_mask

# Whether Keras computes with given values only, as within `keras.StatelessScope`, which is public.
from keras.src.backend.common.stateless_scope import in_stateless_scope as in_stateless_scope

# What every loss does with its values: there is no other way to its `reduction`.
from keras.src.losses.loss import reduce_weighted_values as reduce_weighted_values

# What Keras's savers call for what has variables of its own.
from keras.src.saving.keras_saveable import KerasSaveable

# What `fit` reads a dataset by: one that is an adapter already is read as it is.
from keras.src.trainers.data_adapters.data_adapter import DataAdapter
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

# Keras 3.15 has functions there, the version after it a module of them.
_loops = _backend if callable(_backend.rnn) else _backend.rnn
rnn = _loops.rnn


def lstm(sequences, h, c, kernel, recurrent_kernel, bias):
    """The LSTM of `keras.layers.LSTM` on a GPU, cuDNN, which takes kernels that are no variables here alone."""
    functions = activations.tanh, activations.sigmoid
    _, outputs, state = _loops.lstm(
        sequences, h, c, None, kernel, recurrent_kernel, bias, *functions, return_sequences=True
    )
    return outputs, list(state)


def replace_value(variable, function):
    """Replaces a variable's tensor by `function` of it, now or as soon as Keras draws its value."""
    initializer = variable._initializer
    if initializer is None:
        variable._value.data = function(variable._value.data)
    else:  # Keras draws the value later
        variable._initializer = lambda *shape, **dtype: function(ops.convert_to_tensor(initializer(*shape, **dtype)))


def has_value(variable):
    """Whether a variable holds a value. On JAX, Keras takes it out for a step; after a step that raised, it is gone."""
    return getattr(variable, "_value", True) is not None


def compile_config(model):
    """The object that each `model.compile` makes anew, or None: nothing public tells that a model was recompiled."""
    return getattr(model, "_compile_config", None)


def flatten_layers(model):
    """A model and all its layers, layers in layers included: Keras has no public walk over them."""
    return model._flatten_layers()


def has_strategy(model):
    """Whether the model is trained on several devices of TensorFlow: `distribute_strategy` is never None."""
    return getattr(model, "_distribute_strategy", None) is not None


def rematerializes_activations(layer):
    """Whether `keras.RematScope` asks a layer for its activation alone: no public attribute says so."""
    return layer._remat_mode is not None and layer._remat_mode.mode == "activations"


class _Rate(float):
    """A rate of dropout that is true even where it is 0."""

    def __bool__(self):
        return True


def keep_from_fusing(cell):
    """Has `keras.layers.Bidirectional` call a layer with this cell, on a GPU too.

    There it would run two LSTMs as one, with the stored weights instead of the dropped ones. It doesn't where a cell
    has dropout, so this one's rate is true even where it is 0.
    """
    cell.dropout = _Rate(cell.dropout)


class SavedSeedGenerator(keras.random.SeedGenerator, KerasSaveable):
    """A seed generator that is saved with the layer whose attribute it is.

    Keras saves none, and what a layer itself adds to its file keeps Keras's own layers from reading it: they count.
    """

    @classmethod
    def take_the_place_of(cls, generator):
        """Turns the generator of a built layer into one: Keras allows no new one in a built layer."""
        generator.__class__ = cls

    def _obj_type(self):
        return "Loss"  # among the kinds that Keras tracks, one without variables

    def save_own_variables(self, store):
        """Integers of 32 bits, signed or unsigned or in 64: each backend has its own type."""
        store["seed_state"] = ops.convert_to_numpy(self.state).astype("uint32")

    def load_own_variables(self, store):
        """Ignores a file without a state, as other layers write them."""
        if "seed_state" in store.keys():  # noqa: SIM118 - Keras's view of an HDF5 group has no other
            self.load(store["seed_state"])

    def load(self, state):
        """Goes on from the state of another one, of any backend."""
        self.state.assign(np.asarray(state).astype(self.state.dtype))


class DrawnSeed(keras.random.SeedGenerator):
    """A seed generator that always returns the same seed, a tensor of two integers.

    A generator that gives a seed changes its state. Inside of a function that runs on each device by itself it can't.
    """

    def __init__(self, seed):
        # Without a state of its own, which the layer would have in its files.
        self.seed = seed
        # Keras's dropout on PyTorch looks whether there is one.
        self._initial_seed = seed

    def next(self, ordered=True):
        return self.seed


def table_of(embedding):
    """The variable of a built `keras.layers.Embedding`, whose public `embeddings` is a sum where there is LoRA."""
    return embedding._embeddings


def lower_is_better(metric):
    """Tells `ModelCheckpoint` and `EarlyStopping` that less of this metric is better."""
    metric._direction = "down"


def steps_made(optimizer):
    """The variable that counts an optimizer's steps: the public `iterations` counts updates."""
    return optimizer._iterations


class _KnownVariables(keras.optimizers.Optimizer):
    @property
    def _model_variables(self):
        """The variables that it was built for. A list of its own would be saved among its variables."""
        return self._trainable_variables

    def _decay_of(self, variable):
        """The weight decay of a variable, which `exclude_from_weight_decay` may leave out."""
        return self.weight_decay or 0.0 if self._use_weight_decay(variable) else 0.0


class OneStep(_KnownVariables):
    """An optimizer that makes its whole step in `_step_of_all(gradients, variables, learning_rate)`.

    Keras makes a step in three: it clips, decays, and calls `update_step` for each variable. Each reads and writes all
    the weights, or as many gradients, and the time of a step of SGD goes to memory accesses.
    """

    def _clip_gradients(self, grads):
        return grads if self.global_clipnorm else super()._clip_gradients(grads)

    def _apply_weight_decay(self, variables):
        """Nothing: `_step_of_all` applies weight decay."""

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        self._step_of_all(grads, trainable_variables, learning_rate)


class Surrounding(_KnownVariables):
    """An optimizer around another one, whose steps go through `_around(step, gradients, variables)`, decay included.

    What comes after a step, constraints and averages, is left to the inner one and sees what `_around` has made.
    """

    def _surround(self, optimizer):
        self.inner_optimizer = optimizer
        # Methods and no closures: those of copies are of the copies.
        optimizer._apply_weight_decay = self._leave_decay_to_the_step
        optimizer._backend_update_step = self._inner_step

    def _leave_decay_to_the_step(self, variables):
        pass

    def _inner_step(self, grads, trainable_variables, learning_rate):
        inner = self.inner_optimizer

        def step(gradients):
            type(inner)._apply_weight_decay(inner, trainable_variables)
            type(inner)._backend_update_step(inner, gradients, trainable_variables, learning_rate)

        self._around(step, grads, trainable_variables)

    def _indices_of(self, variables):
        return list(map(self.inner_optimizer._get_variable_index, variables))

    @property
    def variables(self):
        return [*self._variables, *self.inner_optimizer.variables]

    def save_own_variables(self, store):
        """Writes no more than its own: Keras comes to the inner one by itself."""
        for index, variable in enumerate(self._variables):
            store[str(index)] = ops.convert_to_numpy(variable)

    def load_own_variables(self, store):
        for index, variable in enumerate(self._variables):
            variable.assign(store[str(index)])


class SymbolicallyBuilt(keras.Model):
    """A model that TensorFlow's trainer builds, on several devices, for the batch of the first of them.

    Keras builds with the mean of the devices' batches. The mean of ids isn't integers; on several hosts, it fails.
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Keras has this for TensorFlow alone.
        if iterator is not None and has_strategy(self):
            parts = self.distribute_strategy.experimental_local_results
            _, _, batches = next(iter(iterator))
            data_batch = keras.tree.map_structure(lambda x: parts(x)[0], next(batches))
            iterator = None
        super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)


class InOrder(DataAdapter):
    """Mixin for a `keras.utils.PyDataset` of windows (batch, length), read in their order whatever `fit` says.

    `fit(shuffle=True)` is Keras's default, and it shuffles the items of a `PyDataset`. Items that carry state from one
    to the next would silently lose their meaning. Keras wraps a `PyDataset` in an adapter that shuffles, but takes an
    object that is a `DataAdapter` already as it is: so this one is, and hands on to an adapter that doesn't shuffle.
    """

    batch_size: Any = None  # in Keras's adapters a read-only property

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
        # Validation rows that can't be split evenly: some device might get none, so each device gets all of them.
        windows = windows.flat_map(lambda *window: tf.data.Dataset.from_tensors(window).repeat(replicas))
        return strategy.distribute_datasets_from_function(lambda _: windows)

    def _items(self):
        return (self[index] for index in range(len(self)))

    def get_torch_dataloader(self):
        return PyDatasetAdapter(self).get_torch_dataloader()

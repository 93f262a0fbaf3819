"""Every private name of Keras that is used anywhere, with the reason."""

import warnings
from typing import Any

import keras
import numpy as np
from keras import activations, ops

# Keras's loops over time, of which each framework has its own.
from keras.src import backend as _backend

# The masks that tensors carry.
from keras.src.backend.common.masking import get_keras_mask as get_keras_mask
from keras.src.backend.common.masking import set_keras_mask as set_keras_mask

# Whether a `keras.StatelessScope` is active: the scope is public, but not the question.
from keras.src.backend.common.stateless_scope import in_stateless_scope as in_stateless_scope

# Applies a loss's `reduction` to its values: nothing public does.
from keras.src.losses.loss import reduce_weighted_values as reduce_weighted_values

# The base class of the objects whose variables Keras saves.
from keras.src.saving.keras_saveable import KerasSaveable

# The class through which `fit` reads datasets: a dataset that is a `DataAdapter` already is read as it is.
from keras.src.trainers.data_adapters.data_adapter import DataAdapter
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

# In Keras 3.15, `backend.rnn` is a function; in later versions it is a module.
_loops = _backend if callable(_backend.rnn) else _backend.rnn
rnn = _loops.rnn


def lstm(sequences, h, c, kernel, recurrent_kernel, bias):
    """The cuDNN LSTM that `keras.layers.LSTM` uses on a GPU. Only here does it take kernels that are no variables."""
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
    else:  # Keras draws the initial value later
        variable._initializer = lambda *shape, **dtype: function(ops.convert_to_tensor(initializer(*shape, **dtype)))


def has_value(variable):
    """Whether a variable holds a value. On JAX, Keras removes it during a step, and it is lost if the step raises."""
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
    """A dropout rate that counts as true even if it is 0."""

    def __bool__(self):
        return True


def keep_from_fusing(cell):
    """Makes `keras.layers.Bidirectional` call a layer with this cell, on a GPU too.

    On a GPU, it would otherwise run both directions as one LSTM, with the stored weights instead of the dropped ones.
    It doesn't do so if the cell has dropout. So this cell gets a rate that counts as true even if it is 0.
    """
    cell.dropout = _Rate(cell.dropout)


class SavedSeedGenerator(keras.random.SeedGenerator, KerasSaveable):
    """A seed generator that is saved with the layer whose attribute it is.

    Keras doesn't save seed generators. A layer can't add them to its own variables: Keras's layers count the variables
    in a file, and would not read it.
    """

    @classmethod
    def take_the_place_of(cls, generator):
        """Turns a built layer's generator into one of this class, as Keras allows no new generator in a built layer."""
        generator.__class__ = cls

    def _obj_type(self):
        return "Loss"  # a type that Keras tracks without reading variables from it

    def save_own_variables(self, store):
        """Saves the state as uint32: each backend has its own type for the 32 bits of an integer."""
        store["seed_state"] = ops.convert_to_numpy(self.state).astype("uint32")

    def load_own_variables(self, store):
        """Ignores a file without a state, as other layers write it."""
        if "seed_state" in store.keys():  # noqa: SIM118 - Keras's view of an HDF5 group has no other
            self.load(store["seed_state"])

    def load(self, state):
        """Continues from the state of another generator, which any backend may have saved."""
        self.state.assign(np.asarray(state).astype(self.state.dtype))


class DrawnSeed(keras.random.SeedGenerator):
    """A seed generator that always returns the same seed, a tensor of two integers.

    A generator changes its state when it returns a seed. That isn't possible inside a function that runs separately on
    each device.
    """

    def __init__(self, seed):
        # Without calling `super()`: that makes a state, which the layer would save.
        self.seed = seed
        # Keras's dropout on PyTorch reads this attribute.
        self._initial_seed = seed

    def next(self, ordered=True):
        return self.seed


def table_of(embedding):
    """The variable of a built `keras.layers.Embedding`: with LoRA, the public `embeddings` is a sum."""
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
        """The variables that the optimizer was built for. A separate list of them would be saved with its variables."""
        return self._trainable_variables

    def _decay_of(self, variable):
        """The weight decay of a variable; none if `exclude_from_weight_decay` excludes it."""
        return self.weight_decay or 0.0 if self._use_weight_decay(variable) else 0.0


class OneStep(_KnownVariables):
    """An optimizer that makes its whole step in `_step_of_all(gradients, variables, learning_rate)`.

    Keras makes a step in three parts: it clips gradients, decays weights, and calls `update_step` for each variable.
    Each part reads and writes all weights or gradients, and a step of SGD takes as long as its memory accesses.
    """

    def _clip_gradients(self, grads):
        return grads if self.global_clipnorm else super()._clip_gradients(grads)

    def _apply_weight_decay(self, variables):
        """Nothing: `_step_of_all` applies weight decay."""

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        self._step_of_all(grads, trainable_variables, learning_rate)


class Surrounding(_KnownVariables):
    """An optimizer that wraps another one, and changes its steps in `_around(step, gradients, variables)`.

    Weight decay is part of a step. The inner optimizer still applies constraints and averages after the step, to the
    weights that `_around` has made.
    """

    def _surround(self, optimizer):
        self.inner_optimizer = optimizer
        # Bound methods, not closures, so that a copy of the optimizer has methods bound to the copy.
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
        """Writes only its own variables, as Keras saves the inner optimizer separately."""
        for index, variable in enumerate(self._variables):
            store[str(index)] = ops.convert_to_numpy(variable)

    def load_own_variables(self, store):
        """As Keras's optimizers do: a file of another optimizer, or of none, is left out with a warning."""
        shapes = {str(index): tuple(variable.shape) for index, variable in enumerate(self._variables)}
        fits = set(store.keys()) == set(shapes) and all(tuple(store[name].shape) == shapes[name] for name in shapes)
        if not fits:
            warnings.warn(
                f"Skipping variable loading for optimizer {self.name!r}: the file has other variables than it.",
                stacklevel=2,
            )
            return
        for index, variable in enumerate(self._variables):
            variable.assign(store[str(index)])


class SymbolicallyBuilt(keras.Model):
    """A model that TensorFlow's trainer builds with the batch of the first device, if there are several.

    Keras builds a model with the mean of the devices' batches. That isn't integers for ids, and fails on several hosts.
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Keras has these arguments for TensorFlow only.
        if iterator is not None and has_strategy(self):
            parts = self.distribute_strategy.experimental_local_results
            _, _, batches = next(iter(iterator))
            data_batch = keras.tree.map_structure(lambda x: parts(x)[0], next(batches))
            iterator = None
        super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)


class InOrder(DataAdapter):
    """Mixin for a `keras.utils.PyDataset` of windows (batch, length), which `fit` then reads in their order.

    By default, `fit` shuffles the items of a `PyDataset`. A state carried from item to item would silently be wrong.
    Keras wraps a `PyDataset` in an adapter that shuffles, but reads an object that is a `DataAdapter` already as it is.
    So this class is one, and delegates to an adapter that doesn't shuffle.
    """

    batch_size: Any = None  # in Keras's adapters a read-only property

    def get_numpy_iterator(self):
        return PyDatasetAdapter(self).get_numpy_iterator()

    def get_jax_iterator(self):
        return PyDatasetAdapter(self).get_jax_iterator()

    def get_tf_dataset(self):
        import tensorflow as tf  # only here, as only TensorFlow asks for this

        # Keras's adapter infers the length of the windows from the first two. If these happen to be equally long, the
        # first window of another length would raise. It would also hide the batch size, which a carried state needs.
        signature = tuple(tf.TensorSpec((x.shape[0], None), x.dtype) for x in self[0])
        windows = tf.data.Dataset.from_generator(self._items, output_signature=signature)
        # Turns TensorFlow's tuner off. There is nothing to tune, and the end of each epoch would wait for it: it sleeps
        # 10 ms, then twice as long each time, up to a minute.
        options = tf.data.Options()
        options.autotune.enabled = False
        windows = windows.prefetch(1).with_options(options)
        strategy = tf.distribute.get_strategy()
        replicas = strategy.num_replicas_in_sync
        if signature[0].shape[0] % replicas == 0:
            return windows
        # If validation rows can't be split evenly, a device might get none. So each device gets all of them.
        windows = windows.flat_map(lambda *window: tf.data.Dataset.from_tensors(window).repeat(replicas))
        return strategy.distribute_datasets_from_function(lambda _: windows)

    def _items(self):
        return (self[index] for index in range(len(self)))

    def get_torch_dataloader(self):
        return PyDatasetAdapter(self).get_torch_dataloader()

"""Every private name of Keras that is used anywhere, with the reason."""

import keras
import numpy as np
from keras import ops
from keras.src.saving.keras_saveable import KerasSaveable


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


class _Uncapped:
    """A `ReversibleEmbedding` without its soft cap."""

    logit_soft_cap = None

    def __init__(self, layer):
        self._layer = layer

    def __getattr__(self, name):
        return getattr(self._layer, name)


class _Rate(float):
    """A rate of dropout that is true even where it is 0."""

    def __bool__(self):
        return True


def keep_from_fusing(cell):
    """Has `keras.layers.Bidirectional` call a layer with this cell, on a GPU too.

    There it would run two LSTMs as one, with the weights that they store, not those that are left by weight drop. It
    asks the cells whether they have dropout.
    """
    cell.dropout = _Rate(cell.dropout)


def quantized_logits(layer, inputs):
    """The products of inputs and a quantized `keras.layers.ReversibleEmbedding`'s table.

    Its public `quantized_call` caps them at once, and a bias has to be added before.
    """
    reversible = keras.layers.ReversibleEmbedding
    calls = {"int8": reversible._int8_call, "int4": reversible._int4_call}
    return calls[layer.quantization_mode](_Uncapped(layer), inputs, reverse=True)


class SavedSeedGenerator(keras.random.SeedGenerator, KerasSaveable):
    """A seed generator that is saved with the layer whose attribute it is.

    Keras saves none, and what a layer itself adds to its file keeps Keras's own layers from reading it: they count.
    """

    @classmethod
    def take_the_place_of(cls, generator):
        """Makes one of the generator that a built layer has, as Keras lets such a layer have no other."""
        generator.__class__ = cls

    def _obj_type(self):
        return "Loss"  # of the kinds that Keras knows, one without variables

    def save_own_variables(self, store):
        """Integers of 32 bits, signed or unsigned or in 64: each backend has its own type."""
        store["seed_state"] = ops.convert_to_numpy(self.state).astype("uint32")

    def load_own_variables(self, store):
        """A file without a state, as other layers write them, is let be."""
        if "seed_state" in store.keys():  # noqa: SIM118 - Keras's view of an HDF5 group has no other
            self.load(store["seed_state"])

    def load(self, state):
        """Goes on from the state of another one, of any backend."""
        self.state.assign(np.asarray(state).astype(self.state.dtype))

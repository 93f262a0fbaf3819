"""Compiled programs of a trained model, kept with it: evaluation and generation run through here."""

import contextlib
import operator
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from awd_keras.backend import keras_private
from awd_keras.backend.devices import program

# The attribute of a model that holds its programs. They refer to the model too: both are freed together.
_ATTRIBUTE = "_awd_keras_programs"


class _Programs:
    """The programs of a model as it is now: its weights, dtypes or layers may change later.

    Args:
        model: the `keras.Model`.
    """

    def __init__(self, model):
        self.model = model
        # The objects, not their ids: a new object could get the id of one that is gone.
        self.made_for = _state(model)
        self._by_function: dict[Callable, Callable] = {}

    def are_current(self):
        state = _state(self.model)
        return len(state) == len(self.made_for) and all(map(operator.is_, state, self.made_for))

    def of(self, function):
        if function not in self._by_function:
            self._by_function[function] = program(function, self.model)
        return self._by_function[function]


def run(model: keras.Model, function: Callable, *arguments: Any) -> Any:
    """Calls `function(model, *arguments)`, compiled once for each of the arguments' shapes.

    The compiled programs are kept with the model. After `model.compile`, or when the model's variables or dtypes are
    others, they are compiled again. Each call reads the current values of the variables.

    Args:
        model: a `keras.Model`; one that isn't built is built for the first argument.
        function: a function of a module, not one made for the call, as its program is found by it. It takes the model
            and tensors, and returns tensors; it may assign to the model's variables.
        *arguments: arrays, tensors, and lists of them. A number that changes from call to call is an array too.

    Returns:
        What the function returns: tensors of the framework.
    """
    programs = vars(model).get(_ATTRIBUTE)
    if programs is None or not programs.are_current():
        build(model, arguments[0])
        programs = _Programs(model)
        object.__setattr__(model, _ATTRIBUTE, programs)  # Keras's `__setattr__` would look for layers in it.
    return programs.of(function)(*keras.tree.map_structure(ops.convert_to_tensor, list(arguments)))


def _state(model):
    """What a program of the model depends on, except the values of its variables."""
    policies = [layer.dtype_policy for layer in keras_private.flatten_layers(model)]
    variables = [*model.variables, *model.trainable_variables]
    return [keras_private.compile_config(model), *policies, *variables]


def build(model: keras.Model, ids: Any) -> None:
    """Builds a model for ids of this shape, unless it is built."""
    if not all(layer.built for layer in keras_private.flatten_layers(model)):
        # This creates its variables and assigns to none.
        with keras.StatelessScope():
            model(ops.convert_to_tensor(ids), training=False)


def logits_of(model: keras.Model, ids: Any) -> Any:
    """The logits of a model at inference; they are its first output if it has several.

    They may be `DeferredLogits`, which are never materialized and give only their cross-entropy.
    """
    with getattr(model, "deferring_logits", contextlib.nullcontext)():
        return first_of(model(ids, training=False))


def first_of(outputs: Any) -> Any:
    """The first of a model's outputs, which are the logits."""
    return outputs[0] if isinstance(outputs, (list, tuple)) else outputs


def begin_text(model: keras.Model) -> None:
    """Zeroes the state that the model carries at inference."""
    for layer in _carrying_layers(model):
        layer.reset_inference_state()


def begin_rows(model: keras.Model, rows: list[int]) -> None:
    """As `begin_text`, for some rows of a batch.

    Raises:
        AttributeError: if a layer carries a state that isn't in its `inference_state`.
    """
    for layer in _carrying_layers(model):
        for variable in layer.inference_state or ():
            others = np.ones((variable.shape[0], *[1] * (len(variable.shape) - 1)), dtype="bool")
            others[rows] = False
            state = ops.convert_to_tensor(variable)
            variable.assign(ops.where(others, state, ops.zeros_like(state)))


def move_rows(model: keras.Model, origin: Any) -> None:
    """Gives each row of a batch the inference state that another row has, or its own.

    Args:
        model: the `keras.Model`.
        origin: int32 tensor (rows,), whose state each of the first rows gets.

    Raises:
        AttributeError: if a layer carries a state that isn't in its `inference_state`.
    """
    rows = ops.shape(origin)[0]  # None where a graph takes any number of rows
    for layer in _carrying_layers(model):
        for variable in layer.inference_state or ():
            state = ops.convert_to_tensor(variable)
            variable.assign(ops.concatenate([ops.take(state, origin, axis=0), state[rows:]], axis=0))


def most_rows(model: keras.Model) -> int | None:
    """The largest batch that the model was built for, or None if it carries no state."""
    states = [getattr(layer, "inference_state", None) for layer in _carrying_layers(model)]
    return min((variable.shape[0] for state in states for variable in state or ()), default=None)


def check_carries_state(model: keras.Model) -> None:
    """Raises ValueError unless a model carries its state, as it must to read a text window by window."""
    if getattr(model, "stateful", True) is False:
        raise ValueError(
            "Argument `model` must carry its state from window to window: make a model with `stateful=True`, and copy "
            f"the weights by `set_weights`. Received: an {type(model).__name__} with `stateful=False`"
        )
    for layer in keras_private.flatten_layers(model):
        if isinstance(layer, keras.layers.RNN) and not (layer.stateful and hasattr(layer, "reset_inference_state")):
            raise ValueError(
                "Argument `model` must have recurrent layers of `awd_keras.layers` with `stateful=True` only, whose "
                f"state is known here. Received: a model with a {type(layer).__name__} of stateful={layer.stateful}"
            )


def check_batch_size(model: keras.Model, rows: int) -> None:
    """Raises ValueError if batches have more rows than the model was built for.

    The layers say so too, but in compiled code, where TensorFlow knows no sizes to put in a message.
    """
    most = most_rows(model)
    if most is not None and rows > most:
        raise ValueError(
            f"Argument `batch_size` must be at most the one that the model was built for, {most}. Build a model for "
            f"its largest batch, by `model.build(({rows}, None))`. Received: batches of {rows} rows"
        )


def _carrying_layers(model):
    return [layer for layer in keras_private.flatten_layers(model) if hasattr(layer, "reset_inference_state")]

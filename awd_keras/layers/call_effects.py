"""Side effects of a layer's call, drawn seeds and a carried state, also where the call is recomputed."""

import keras
from keras import ops

from awd_keras import backend
from awd_keras.backend import devices
from awd_keras.backend.keras_private import rematerializes_activations


class Rematerialized(keras.layers.Layer):
    """A layer whose call draws masks or carries a state, and may be run once more for the gradients.

    Keras would run `call` again as it is, with new masks and from the state that the first run has left. Here, what is
    run twice is a function of the variables' values of before, and they change once, after the first run.

    To be put before one of Keras's layers in the list of bases.
    """

    def rematerialized_call(self, layer_call, *args, **kwargs):
        """The call, run again for its gradients where the layer's `keras.RematScope` says so."""
        if super().rematerialized_call(layer_call, *args, **kwargs) is layer_call or rematerializes_activations(self):
            # Keras would replace the activation, and an LSTM's gates aren't one.
            return layer_call
        return lambda *args, **kwargs: _run(self, layer_call, args, kwargs)


def check_first_run(layer):
    """Refuses to recompute a call that draws masks or leaves a state for the gradients.

    Raises:
        RuntimeError: if the call is such a repetition.
    """
    if backend.runs_again():
        raise RuntimeError(
            f"Layer {layer.name!r} draws masks or carries a state, and was called again to rematerialize what it is "
            "part of: the second call's masks and state would be others. Leave what holds the layer out of it, and "
            "have the layer itself rematerialized: build the model outside of `keras.RematScope`, and its layers "
            "inside."
        )


def _run(layer, call, args, kwargs):
    leaves = keras.tree.flatten((args, kwargs))
    numbers = [number for number, leaf in enumerate(leaves) if _is_float_tensor(leaf)]
    weights, others = layer.trainable_variables, layer.non_trainable_variables
    # Copies, as PyTorch's `assign` writes into the tensor.
    before = [ops.copy(ops.convert_to_tensor(variable)) for variable in others]

    def run(*tensors):
        arguments = list(leaves)
        for number, tensor in zip(numbers, tensors[len(weights) :], strict=True):
            arguments[number] = tensor
        args_again, kwargs_again = keras.tree.pack_sequence_as((args, kwargs), arguments)
        values = [*zip(weights, tensors, strict=False), *zip(others, before, strict=True)]
        with keras.StatelessScope(state_mapping=values) as scope:
            outputs = call(*args_again, **kwargs_again)
        after = [scope.get_current_value(variable) for variable in others]
        masks = [backend.get_keras_mask(output) for output in keras.tree.flatten(outputs)]
        return outputs, (after, masks)

    tensors = [*map(ops.convert_to_tensor, weights), *(leaves[number] for number in numbers)]
    outputs, (after, masks) = backend.rematerialize(run, tensors)
    for variable, old, new in zip(others, before, after, strict=True):
        if new is not old:
            check_first_run(layer)
            variable.assign(new)
    for output, mask in zip(keras.tree.flatten(outputs), masks, strict=True):
        if mask is not None:
            backend.set_keras_mask(output, mask)
    return outputs


def _is_float_tensor(leaf):
    return ops.is_tensor(leaf) and "float" in keras.backend.standardize_dtype(leaf.dtype)


# In files of earlier versions, the name under which the layer's own variables have the state of its draws.
_NAME = "seed_state"


def next_seed(layer):
    """The next seed of this layer, different on each device."""
    check_first_run(layer)
    with backend.untransformed():
        return devices.own_seed(layer.seed_generator.next())


def load_seed_state(layer, store):
    """Takes the state, if it is there, and returns what else `load_own_variables` was given."""
    generator = getattr(layer, "seed_generator", None)
    if generator is not None and _NAME in store:
        generator.load(store[_NAME])
    names = store.keys()  # Keras's view of an HDF5 group can't be walked itself
    return {name: store[name] for name in names if name != _NAME}


class CarriesState(keras.layers.Layer):
    """A recurrent layer with `stateful`, whose training and inference have separate states.

    The state belongs to a stream of data, not to the model. So its variables are the layer's `variables`, which Keras
    hands to compiled code, and are none of its `weights`: what copies, counts or saves weights leaves it out.

    To be put before one of Keras's recurrent layers in the list of bases.
    """

    training_state: list[keras.Variable] | None
    inference_state: list[keras.Variable] | None
    states: list[keras.Variable] | None  # Keras's name, for all of them

    def add_states(self, batch_size, parts):
        """Makes the variables, to be called in `build`.

        Args:
            batch_size: integer, the largest batch that a call may have.
            parts: dict from the name of each part of the state to its size.
        """
        self.training_state, self.inference_state = (
            [
                keras.Variable(
                    "zeros",
                    shape=(batch_size, size),
                    dtype=self.variable_dtype,
                    trainable=False,
                    autocast=False,
                    layout=_layout(batch_size),
                    name=f"{mode}_{part}",
                )
                for part, size in parts.items()
            ]
            for mode in ("training", "inference")
        )
        self.states = [*self.training_state, *self.inference_state]

    @property
    def weights(self):
        """List of all weights, as in Keras: the carried state isn't in it."""
        # By identity, as `==` compares the variables' values.
        state = set(map(id, self.states or ()))
        return [weight for weight in super().weights if id(weight) not in state]

    def read_state(self, carried, batch_size):
        """The first rows of a state, as tensors."""
        if isinstance(batch_size, int) and batch_size > carried[0].shape[0]:
            raise ValueError(
                f"A stateful layer can be called with at most the batch size that it was built for. Layer "
                f"{self.name!r} was built for {carried[0].shape[0]}. Received: {batch_size}"
            )
        # A copy, because PyTorch's `assign` writes into the tensor that the backward pass still needs.
        return [ops.copy(ops.convert_to_tensor(part)[:batch_size]) for part in carried]

    def write_state(self, carried, state, batch_size):
        """Puts tensors in the first rows of a state, and leaves the other rows as they are.

        Raises:
            ValueError: inside of a transform of functions, which a state can't leave.
        """
        check_first_run(self)
        if not backend.can_assign(state):
            raise ValueError(
                "A layer with `stateful=True` can't leave its state behind inside of a transform of functions (jvp, "
                "vmap and the like). Set `stateful=False`, and have the state by `initial_state` and "
                "`return_state=True`; or on JAX transform the layer's `stateless_call`. "
                f"Received: stateful=True in layer {self.name!r}"
            )
        for variable, part in zip(carried, state, strict=True):
            others = ops.convert_to_tensor(variable)[batch_size:]
            part = ops.cast(ops.stop_gradient(part), variable.dtype)
            variable.assign(ops.concatenate([part, others], axis=0))

    def reset_state(self) -> None:
        """Zeroes both carried states."""
        self.reset_training_state()
        self.reset_inference_state()

    def reset_training_state(self) -> None:
        """Zeroes the state that training carries."""
        _zero(self.training_state)

    def reset_inference_state(self) -> None:
        """Zeroes the state that evaluation and prediction carry."""
        _zero(self.inference_state)


def _zero(state):
    for variable in state or ():
        variable.assign(ops.zeros(variable.shape, dtype=variable.dtype))


def _layout(batch_size):
    """Each device has the state of its own rows, where `keras.distribution` splits batches between devices."""
    distribution = keras.distribution.distribution()
    if distribution is None or batch_size % distribution.num_model_replicas:
        return None
    return keras.distribution.TensorLayout((distribution.batch_dim_name, None), distribution.device_mesh)

"""Side effects of a layer's call (drawn seeds and a carried state), also if the call is recomputed for gradients."""

import keras
from keras import ops

from awd_keras import backend
from awd_keras.backend import devices
from awd_keras.backend.keras_private import rematerializes_activations


class Rematerialized(keras.layers.Layer):
    """A layer whose call draws masks or carries a state, and may be recomputed for the gradients.

    Keras would simply run `call` again, with new masks and from the state that the first run has left. Here, both runs
    use the variables' values from before the call, and the variables change only once, after the first run.

    Put this class before one of Keras's layers in the list of bases.
    """

    def rematerialized_call(self, layer_call, *args, **kwargs):
        """The call, recomputed for its gradients if the layer's `keras.RematScope` asks for that."""
        if super().rematerialized_call(layer_call, *args, **kwargs) is layer_call or rematerializes_activations(self):
            # In this mode Keras rematerializes the activation, and an LSTM's gates are more than one.
            return layer_call
        return lambda *args, **kwargs: _run(self, layer_call, args, kwargs)


def check_first_run(layer):
    """Refuses to recompute, for gradients, a call that draws masks or leaves a state.

    Raises:
        RuntimeError: if this call is recomputed.
    """
    if backend.runs_again():
        raise RuntimeError(
            f"Layer {layer.name!r} draws masks or carries a state, and was called again because a layer around it is "
            "rematerialized: the second call would have other masks and another state. Rematerialize only the layer "
            "itself: build the layers inside of `keras.RematScope`, and the model around them outside."
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


# The name of the seeds' state among a layer's own variables, in files of earlier versions.
_NAME = "seed_state"


def next_seed(layer):
    """The next seed of this layer, different on each device."""
    check_first_run(layer)
    with backend.untransformed():
        return devices.own_seed(layer.seed_generator.next())


def load_seed_state(layer, store):
    """Loads the seeds' state if a file has it, and returns the other variables for `load_own_variables`."""
    generator = getattr(layer, "seed_generator", None)
    if generator is not None and _NAME in store:
        generator.load(store[_NAME])
    names = store.keys()  # Keras's view of an HDF5 group can't be iterated over
    return {name: store[name] for name in names if name != _NAME}


class CarriesState(keras.layers.Layer):
    """A recurrent layer with `stateful`, whose training and inference have separate states.

    The state belongs to a stream of data, not to the model. So its variables are in the layer's `variables`, which
    Keras passes to compiled code, but not in its `weights`, which are copied, counted and saved.

    Put this class before one of Keras's recurrent layers in the list of bases.
    """

    training_state: list[keras.Variable] | None
    inference_state: list[keras.Variable] | None
    states: list[keras.Variable] | None  # all state variables, under the name that Keras uses

    def add_states(self, batch_size, parts):
        """Creates the variables. To be called in `build`.

        Args:
            batch_size: integer, the largest batch that a call may have.
            parts: dict from the name of each part of the state to its size.

        Raises:
            ValueError: if there are variables already, for a smaller batch.
        """
        if self.states is not None:
            rows = self.states[0].shape[0]
            if batch_size > rows:
                raise ValueError(
                    f"Layer {self.name!r} was built for a batch of {rows} rows, and can't be built again for more: "
                    f"make a new one. Received: {batch_size}"
                )
            return
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
        """Writes tensors to the first rows of a state, and doesn't change the other rows.

        Raises:
            ValueError: inside of a transform of functions, as no state can leave it.
        """
        check_first_run(self)
        if not backend.can_assign(state):
            raise ValueError(
                "A layer with `stateful=True` can't store its state inside of a transform of functions (jvp, vmap and "
                "the like). Set `stateful=False`, and pass the state by `initial_state` and `return_state=True`; or on "
                "JAX transform the layer's `stateless_call`. "
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
    """The layout in which each device has the state of its own rows, if `keras.distribution` splits batches."""
    distribution = keras.distribution.distribution()
    if distribution is None or batch_size % distribution.num_model_replicas:
        return None
    return keras.distribution.TensorLayout((distribution.batch_dim_name, None), distribution.device_mesh)

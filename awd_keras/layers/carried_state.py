"""The state that a recurrent layer carries from call to call."""

import keras
from keras import ops

from awd_keras import backend
from awd_keras.layers.rematerialized import check_first_run


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

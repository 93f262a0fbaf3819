"""The base of the recurrent layers: dropped weights, a carried state, masks of padding, files."""

from typing import Any

import keras
import numpy as np
from keras import ops

from awd_keras import backend
from awd_keras.backend import devices, keras_private
from awd_keras.checks import check_floats, check_rate, check_seed, check_shape
from awd_keras.layers.call_effects import CarriesState, Rematerialized, load_seed_state, next_seed


class Recurrent(Rematerialized, CarriesState):
    """Base of recurrent layers that are computed by one function of whole sequences, a state, and dropped weights.

    Put this class before one of Keras's recurrent layers in the list of bases. A subclass defines `_function`, and
    overrides those attributes, and methods above `build`, that don't fit it.

    Args:
        *arguments: the positional arguments of Keras's class: units or a cell.
        rates: dict of the rates of dropout, by the argument's name. Each becomes an attribute.
        masks_seed: integer or None, the seed of all masks.
        **kwargs: all other arguments of Keras's class.
    """

    # The names of the state's parts. The first is h, the last output.
    PARTS: tuple[str, ...] = ("h",)
    # The rates of dropout that Keras's class has.
    DROPOUTS: tuple[str, ...] = ("dropout", "recurrent_dropout")
    use_cudnn: bool | str = "auto"
    cell: Any  # set by Keras

    def __init__(self, *arguments: Any, rates: dict[str, float], masks_seed: int | None, **kwargs: Any):
        for name, rate in {**rates, **{name: kwargs.get(name, 0.0) for name in self.DROPOUTS}}.items():
            check_rate(name, rate)
        if masks_seed is not None:
            check_seed(masks_seed)
        use_cudnn = kwargs.get("use_cudnn", "auto")
        if use_cudnn not in ("auto", True, False):
            raise ValueError(f"Argument `use_cudnn` must be 'auto', True or False. Received: use_cudnn={use_cudnn!r}")
        super().__init__(*arguments, **kwargs)
        if self.DROPOUTS:
            keras_private.keep_from_fusing(self.cell)
        for name, rate in rates.items():
            setattr(self, name, rate)
        # The arguments that Keras's `get_config` leaves out.
        self._own_arguments = [*rates, *(["use_cudnn"] if "use_cudnn" in kwargs else [])]
        if masks_seed is not None:
            entropy = np.random.SeedSequence([masks_seed, int(self.go_backwards)])
            masks_seed = int(entropy.generate_state(1)[0] >> 1)
        self.seed_generator = keras_private.SavedSeedGenerator(masks_seed)
        self.training_state = None
        self.inference_state = None
        self.computed_by: str | None = None

    def _replace_cell(self, cell):
        keras_private.keep_from_fusing(cell)
        del self.cell  # so that Keras no longer tracks the old cell
        self.cell = cell

    def _function(self):
        """The function that computes the layer.

        Its arguments are the sequences, the state, the weights, and the options and masks by name. It returns outputs
        (batch, time, units), the state, and the name of the implementation.
        """
        raise NotImplementedError

    def _weights_and_rates(self):
        """Pairs of a variable, or None, and the rate at which its elements are dropped in training."""
        return [
            (self.cell.kernel, self.kernel_weight_drop),
            (self.cell.recurrent_kernel, self.weight_drop),
            (self.cell.bias, 0),
        ]

    def _options(self):
        """The function's options, by name."""
        return {
            "activation": self.activation,
            "recurrent_activation": self.recurrent_activation,
            "go_backwards": self.go_backwards,
            "unroll": self.unroll,
            "zero_output_for_mask": self.zero_output_for_mask,
        }

    def _masks(self, sequences, initial_state):
        """The masks that the function takes, by name, drawn for one call in training; None for a mask with rate 0."""
        mask = None
        if self.recurrent_dropout > 0:
            mask = _dropped(ops.ones_like(initial_state[0]), self.recurrent_dropout, next_seed(self))
        return {"recurrent_mask": mask}

    def _state_size(self, features):
        """The size of each of `PARTS`."""
        return [self.units] * len(self.PARTS)

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        batch_size, _, features = sequences_shape
        # With fewer features than the kernel has rows, PyTorch's LSTM would read beyond the end of the inputs.
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: features})
        self.state_size = self._state_size(features)
        if not self.cell.built:
            self.cell.build((batch_size, features))
            for name in ("kernel", "recurrent_kernel"):
                kernel = getattr(self.cell, name, None)
                if kernel is not None:
                    backend.keep_by_columns(kernel)
        if self.stateful:
            if batch_size is None:
                raise ValueError(
                    "A layer with `stateful=True` must be built for a known batch size: give "
                    "`keras.Input(batch_shape=(batch, time, features))`, or call the model on data first. "
                    f"Received: sequences_shape={tuple(sequences_shape)}"
                )
            self.add_states(batch_size, dict(zip(self.PARTS, self.state_size, strict=True)))

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        shape = super().compute_output_shape(sequences_shape, initial_state_shape)
        if not self.return_state:
            return shape
        # Keras would use `state_size`, which a QRNN doesn't know before it is built.
        return shape[0], *((sequences_shape[0], size) for size in self._state_size(sequences_shape[-1]))

    def call(self, sequences, initial_state=None, mask=None, training=False):
        if self.unroll and sequences.shape[1] is None:
            raise ValueError(
                "A layer with `unroll=True` must know the number of time steps. "
                f"Received: sequences.shape={tuple(sequences.shape)}"
            )
        if isinstance(mask, (list, tuple)):
            mask = mask[0]
        initial_state = self._check(sequences, initial_state, mask)
        carried = self.training_state if training else self.inference_state
        batch_size = ops.shape(sequences)[0]
        if initial_state is None and carried is not None:
            initial_state = self.read_state(carried, batch_size)
        elif initial_state is None:
            initial_state = [ops.zeros((batch_size, size), dtype=self.compute_dtype) for size in self.state_size]
        initial_state = [ops.cast(part, self.compute_dtype) for part in initial_state]
        if training and "dropout" in self.DROPOUTS and self.dropout > 0:
            sequences = backend.locked_dropout(sequences, self.dropout, next_seed(self))

        outputs, state, self.computed_by = self._run(sequences, initial_state, mask, training)
        if self.stateful:
            self.write_state(carried, state, batch_size)
        output = outputs if self.return_sequences else outputs[:, -1]
        return (output, *state) if self.return_state else output

    def compute_output_spec(self, sequences, initial_state=None, mask=None, training=False):
        # Checked here too: when Keras only computes shapes, `call` would find a wrong argument only as the model runs.
        self._check(sequences, initial_state, mask)
        return super().compute_output_spec(sequences, initial_state=initial_state, mask=mask, training=training)

    def _check(self, sequences, initial_state, mask):
        """Returns the state as a list, or None. Raises ValueError if an argument isn't what it must be."""
        check_floats("sequences", sequences)
        if sequences.shape[1] == 0:
            raise ValueError(
                f"Argument `sequences` must have at least one time step. Received: shape={tuple(sequences.shape)}"
            )
        if mask is not None:
            check_shape("mask", mask[0] if isinstance(mask, (list, tuple)) else mask, tuple(sequences.shape[:2]))
        if initial_state is None:
            return None
        if len(self.PARTS) == 1 and not isinstance(initial_state, (list, tuple)):
            initial_state = [initial_state]  # as Keras does
        if not isinstance(initial_state, (list, tuple)) or len(initial_state) != len(self.PARTS):
            parts = ", ".join(self.PARTS)
            raise ValueError(
                f"Argument `initial_state` must be a list [{parts}]. Received: initial_state={initial_state}"
            )
        for part, size in zip(initial_state, self.state_size, strict=True):
            check_shape("initial_state", part, (sequences.shape[0], size))
        return list(initial_state)

    def _run(self, sequences, initial_state, mask, training):
        pairs = self._weights_and_rates()
        weights = [None if v is None else ops.convert_to_tensor(v, dtype=self.compute_dtype) for v, _ in pairs]
        rates = [rate if training else 0 for _, rate in pairs]
        masks = {"mask": mask, **(self._masks(sequences, initial_state) if training else {})}
        computed_by = None

        def run(sequences, *others):
            nonlocal computed_by
            rest = iter(others)
            state, values, given = ([next(rest) for _ in each] for each in (initial_state, masks, weights))
            given = [_dropped(weight, rate, next(rest)) for weight, rate in zip(given, rates, strict=True)]
            named = dict(zip(masks, values, strict=True))
            outputs, state, computed_by = self._function()(sequences, state, *given, **named, **self._options())
            return outputs, *state

        # Masks of the weights are drawn within `run`, so that each device draws its own.
        outputs, *state = devices.own_rows(
            run,
            [sequences, *initial_state, *masks.values()],
            weights,
            [next_seed(self) if rate else None for rate in rates],
        )
        if self.use_cudnn is True and computed_by == "generic":
            raise ValueError(
                "Argument `use_cudnn=True` asks for a fast implementation, and only Keras's generic loop can compute "
                "this layer here (a mask, other activations, recurrent dropout, unroll, or no GPU)."
            )
        return outputs, state, computed_by

    def save_own_variables(self, store):
        """Saves nothing: the weights are the cell's, and a carried state isn't part of a model."""

    def load_own_variables(self, store):
        """Loads the masks' seed, which files of earlier versions have here."""
        load_seed_state(self, store)

    def get_config(self) -> dict:
        return {**super().get_config(), **{name: getattr(self, name) for name in self._own_arguments}}


def _dropped(tensor, rate, seed):
    if tensor is None or rate == 0:
        return tensor
    return backend.drop(tensor, backend.keep_mask(ops.shape(tensor), rate, seed), rate)


def arguments_of(cell):
    """The arguments of one of Keras's LSTM cells, for another cell. A config would ask for classes that Keras knows."""
    parts = ("kernel", "recurrent", "bias")
    objects = ["activation", "recurrent_activation", "dtype_policy"]
    objects += [f"{part}_{kind}" for part in parts for kind in ("initializer", "regularizer", "constraint")]
    given = {name.removesuffix("_policy"): getattr(cell, name) for name in objects}
    return {**cell.get_config(), **given}

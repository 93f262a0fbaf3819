"""A step of a model at inference, with its state as input and output, to be exported."""

import keras
import numpy as np

from awd_keras.models.awd_lstm import AWDLSTM


def inference_step(model: AWDLSTM) -> keras.Model:
    """One step of a model at inference, from a token and the state before it to logits and the state after it.

    It is a functional model with the weights of `model` and without a carried state. Its inputs are
    `[tokens, h_0, c_0, h_1, c_1, ...]`, with these names: an h and a c for each LSTM, only an h for each GRU, and for
    the first QRNN also an x. Its outputs are `[logits, h_0, c_0, h_1, c_1, ...]`, of which the state is passed to the
    next call. At the beginning of a text, the state is zeros.

    It is made to be exported: `inference_step(model).export(path, format)` writes it for programs without Keras, also
    in formats that `model.export` can't write, as they can't store a state. It takes one token in a call, as many
    exporters can't export a loop over time. docs/guides/export.md lists the formats of each backend.

    Args:
        model: a built `AWDLSTM`.

    Returns:
        A `keras.Model` from ids `(batch, 1)` and states `(batch, units)` to logits `(batch, 1, vocabulary_size)`
        and states `(batch, units)`.

    Raises:
        ValueError: if `model` isn't an `AWDLSTM`, or isn't built.

    Example:

    >>> import numpy as np
    >>> from awd_keras.models import AWDLSTM, inference_step
    >>> model = AWDLSTM(vocabulary_size=9, embedding_dim=4, hidden_units=8, num_layers=2)
    >>> model.build((1, None))
    >>> step = inference_step(model)
    >>> [tensor.name for tensor in step.inputs]
    ['tokens', 'h_0', 'c_0', 'h_1', 'c_1']
    >>> state = [np.zeros((3, units), "float32") for units in (8, 8, 4, 4)]
    >>> logits, *state = step([np.array([[1], [5], [2]]), *state])
    >>> tuple(logits.shape), [tuple(part.shape) for part in state]
    ((3, 1, 9), [(3, 8), (3, 8), (3, 4), (3, 4)])
    """
    if not isinstance(model, AWDLSTM):
        raise ValueError(f"Argument `model` must be an AWDLSTM. Received: model={model!r}")
    if not model.built:
        raise ValueError("Argument `model` must be built: call it on data, or `model.build((1, None))`.")
    tokens = keras.Input((1,), dtype="int32", name="tokens")
    inputs, states = [tokens], []
    x = model.embedding(tokens, training=False)
    for index, lstm in enumerate(model.lstms):
        state = [
            keras.Input((size,), dtype=lstm.compute_dtype, name=f"{part}_{index}")
            for part, size in zip(lstm.PARTS, lstm.state_size, strict=True)
        ]
        x, *new_state = _stateless(lstm)(x, initial_state=state, training=False)
        inputs += state
        states += new_state
    step = keras.Model(inputs, [model.decoder()(x, reverse=True), *states], name="inference_step")
    # Called once, as Keras can't export a model to ONNX that has never been called.
    step([np.zeros((1, *tensor.shape[1:]), tensor.dtype) for tensor in inputs])
    return step


def _stateless(lstm):
    """A layer with the weights of `lstm`, whose state is an input and an output."""
    config = lstm.get_config()
    # With one time step, an unrolled layer has no loop.
    written_out = {"unroll": True, "use_cudnn": False}
    changes = {"stateful": False, "return_state": True, "activity_regularizer": None}
    changes |= {name: value for name, value in written_out.items() if name in config}
    layer = type(lstm).from_config({**config, **changes})
    del layer.cell  # Otherwise Keras would still track the old cell.
    layer.cell = lstm.cell
    return layer

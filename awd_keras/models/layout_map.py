"""How the vocabulary of a model is split between devices."""

import keras

from awd_keras.backend import devices


def layout_map(mesh: keras.distribution.DeviceMesh) -> keras.distribution.LayoutMap:
    """Makes the layout with which `keras.distribution.ModelParallel` splits an `AWDLSTM`'s vocabulary over devices.

    The embedding's table, the decoder's bias, the optimizer's copies of them, and the logits are split along the mesh's
    axis `"model"`: each device has those of a part of the words. Every device has all weights of the LSTMs. The rows of
    a batch are split along the mesh's first axis.

    Args:
        mesh: a `keras.distribution.DeviceMesh` whose first axis is for the batch, and one of the others is named
            `"model"`, whose size must divide that of the vocabulary: add words that don't occur if it doesn't.

    Returns:
        A `keras.distribution.LayoutMap`.

    Raises:
        NotImplementedError: on another of Keras's backends than JAX, the only one that splits variables.
        ValueError: if the mesh has no such axis.

    Example:

    ```python
    mesh = keras.distribution.DeviceMesh((2, 4), ("batch", "model"))
    layouts = awd_keras.models.layout_map(mesh)
    keras.distribution.set_distribution(
        keras.distribution.ModelParallel(layout_map=layouts)
    )
    model = awd_keras.models.AWDLSTM(vocabulary_size=267736)
    ```
    """
    if not devices.splits_variables():
        raise NotImplementedError(
            "Of Keras's backends, only JAX splits variables between devices. Received: the backend "
            f"{keras.backend.backend()}"
        )
    if "model" not in mesh.axis_names[1:]:
        raise ValueError(
            "Argument `mesh` must have an axis for the batch, and another one named 'model'. Received: "
            f"axis_names={tuple(mesh.axis_names)}"
        )
    layouts = keras.distribution.LayoutMap(mesh)
    # This splits the logits too, as XLA splits a product like its operands.
    layouts[".*embedding/embeddings"] = ("model", None)
    layouts[".*embedding/bias"] = ("model",)
    return layouts

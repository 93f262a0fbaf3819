"""How the vocabulary of a model is split between devices."""

import keras

from awd_keras.backend import devices


def layout_map(mesh: keras.distribution.DeviceMesh) -> keras.distribution.LayoutMap:
    """Makes the layout with which `keras.distribution.ModelParallel` splits an `AWDLSTM`'s vocabulary over devices.

    The embedding's table, the decoder's bias, and the optimizer's copies of them lie along the mesh's axis `"model"`:
    on each device, a part of the words. So do the logits, of which no device ever has all. The LSTMs' weights are whole
    on every device, and the rows of a batch are split along the mesh's first axis.

    Args:
        mesh: a `keras.distribution.DeviceMesh` whose first axis is for the batch, and one of the others is named
            `"model"`. The size of this one must divide that of the vocabulary: fill it up with words that don't occur.

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
    # The logits follow: XLA splits a product as its operands are.
    layouts[".*embedding/embeddings"] = ("model", None)
    layouts[".*embedding/bias"] = ("model",)
    return layouts

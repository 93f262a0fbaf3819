"""Writes and reads a model's weights in half precision, in files small enough to be copied from another machine."""

import re

import numpy as np

# 14 MiB of float16 a file.
VALUES = 7 * 2**20


def write_half(model, name, folder):
    """Writes a model's trainable weights, one after the other as float16, into NAME-half-1-of-3.npz and so on.

    Args:
        model: an `AWDLSTM`, built.
        name: string.
        folder: path.

    Returns:
        List of the files' paths.
    """
    from awd_keras.output import write_whole

    folder.mkdir(parents=True, exist_ok=True)
    before = parts(name, folder)
    values = np.concatenate([np.asarray(variable.numpy(), "float16").ravel() for variable in model.trainable_variables])
    count = -(-len(values) // VALUES)
    paths = []
    for number in range(count):
        paths.append(folder / f"{name}-half-{number + 1}-of-{count}.npz")
        part = values[number * VALUES : (number + 1) * VALUES]
        write_whole(paths[-1], lambda path, part=part: np.savez_compressed(path, values=part))
    for path in before:  # last, so that a failure loses nothing; their number may be another one
        if path not in paths:
            path.unlink()
    return paths


def read_half(model, name, folder):
    """Sets a model's trainable weights to those that `write_half` has written for a model of the same sizes.

    Args:
        model: an `AWDLSTM`, built.
        name: string.
        folder: path.

    Raises:
        ValueError: if parts are missing, or are of a model of another size.
    """
    paths = parts(name, folder)
    if not paths or len(paths) != int(paths[0].stem.rpartition("-")[2]):
        raise ValueError(f"{folder} must hold all parts of {name}-half. Received: {[path.name for path in paths]}")
    values = np.concatenate([np.load(path)["values"] for path in paths])
    sizes = [int(np.prod(variable.shape)) for variable in model.trainable_variables]
    if len(values) != sum(sizes):
        raise ValueError(f"{name}-half must hold {sum(sizes)} values. Received: {len(values)}")
    for variable, part in zip(model.trainable_variables, np.split(values, np.cumsum(sizes)[:-1]), strict=True):
        variable.assign(part.astype("float32").reshape(variable.shape))


def parts(name, folder):
    """The files of a model's weights, in order."""
    found = {re.fullmatch(rf"{re.escape(name)}-half-(\d+)-of-\d+", path.stem): path for path in folder.glob("*.npz")}
    return [path for match, path in sorted((int(m[1]), path) for m, path in found.items() if m)]

"""Loads a saved model, which may be damaged or malicious."""

import hashlib
import os
import zipfile

import keras

from awd_keras.models import AWDLSTM
from awd_keras.runs.config import parse_object, reason

# The files in a `.keras` file of a model without assets. Others aren't read: other forms of weights, assets, pickles.
_MEMBERS = {"config.json", "metadata.json", "model.weights.h5"}


def load_model(path: str | os.PathLike) -> AWDLSTM:
    """The `AWDLSTM` in a `.keras` file, not compiled.

    All bytes are checked against the file's checksums. Only an `AWDLSTM` is built, and no code from the file runs.

    Args:
        path: the file, as `AWDLSTM.save` wrote it.

    Raises:
        ValueError: if the file can't be read, is damaged, or holds something else. The message is one line.
    """
    try:
        check_saved_model(path)
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        if not model.built:
            raise ValueError("its config.json has no shape to build the model for, so the model has no weights")
    # Any exception: for damaged files, zipfile, h5py and Keras raise a dozen classes, some with many lines.
    except Exception as error:
        raise ValueError(f"{os.fspath(path)} is not a whole Keras model of this library: {reason(error)}") from error
    return model


def check_saved_model(path: str | os.PathLike) -> None:
    """Checks all bytes of a `.keras` file against its checksums, and that its class is `AWDLSTM`.

    Keras does neither: it reads the weights in random order, and from Python 3.12 on zipfile then checks no checksums.

    Args:
        path: the file.

    Raises:
        ValueError: if the file is incomplete, damaged, or holds something else. If it isn't a zip file, zipfile raises
            its own exceptions.
    """
    with zipfile.ZipFile(path) as archive:
        members = set(archive.namelist())
        if members != _MEMBERS:
            raise ValueError(f"it must hold {', '.join(sorted(_MEMBERS))}. Received: {sorted(members)}")
        damaged = archive.testzip()
        if damaged:
            raise ValueError(f"{damaged} in it is damaged")
        config = parse_object(archive.read("config.json"), "config.json in it")
    # Keras first looks up `class_name` among some names of its own, then `registered_name`, so both are checked.
    names = [config.get("class_name"), config.get("registered_name")]
    if names != ["AWDLSTM", keras.saving.get_registered_name(AWDLSTM)]:
        raise ValueError(f"config.json in it must be an AWDLSTM's. Received: {names}")


def file_digest(path: str | os.PathLike) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

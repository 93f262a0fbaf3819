"""Reading a saved model, which may be damaged, or made to do harm."""

import os
import textwrap
import zipfile

import keras

from awd_keras.models import AWDLSTM
from awd_keras.runs.parse_object import parse_object

# What Keras puts in the file of a model without assets. Weights in another form, assets and pickles aren't read.
_MEMBERS = {"config.json", "metadata.json", "model.weights.h5"}


def load_model(path: str | os.PathLike) -> AWDLSTM:
    """The `AWDLSTM` in a `.keras` file, not compiled.

    Every byte is held against the file's checksums. No other class than `AWDLSTM` is made of what the file says, and
    no code in it is run.

    Args:
        path: the file, as `AWDLSTM.save` wrote it.

    Raises:
        ValueError: if the file can't be read, is damaged, or holds something else. The message is one line.
    """
    try:
        _check(path)
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        if not model.built:
            raise ValueError("its config.json has no shape to build the model for, so that it has no weights")
    # Whatever comes: a damaged file makes zipfile, h5py and Keras raise a dozen things, some of many lines.
    except Exception as error:
        reason = textwrap.shorten(str(error), 300, placeholder=" ...") or type(error).__name__
        raise ValueError(f"{os.fspath(path)} is not a whole Keras model of this library: {reason}") from error
    return model


def _check(path):
    with zipfile.ZipFile(path) as archive:
        members = set(archive.namelist())
        if members != _MEMBERS:
            raise ValueError(f"it must hold {', '.join(sorted(_MEMBERS))}. Received: {sorted(members)}")
        damaged = archive.testzip()
        if damaged:
            raise ValueError(f"{damaged} in it is damaged")
        config = parse_object(archive.read("config.json"), "config.json in it")
    # Keras looks at `class_name` first for some names of its own, then at `registered_name`.
    names = [config.get("class_name"), config.get("registered_name")]
    if names != ["AWDLSTM", keras.saving.get_registered_name(AWDLSTM)]:
        raise ValueError(f"config.json in it must be an AWDLSTM's. Received: {names}")

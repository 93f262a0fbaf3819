"""Whether a `.keras` file is whole, and of this library."""

import os
import zipfile

import keras

from awd_keras.models import AWDLSTM
from awd_keras.runs.parse_object import parse_object

# What Keras puts in the file of a model without assets. Weights in another form, assets and pickles aren't read.
_MEMBERS = {"config.json", "metadata.json", "model.weights.h5"}


def check_saved_model(path: str | os.PathLike) -> None:
    """Holds every byte of a `.keras` file against its checksums, and its class against `AWDLSTM`.

    Keras does neither: it reads the weights here and there, and from Python 3.12 on zipfile checks no sums then.

    Args:
        path: the file.

    Raises:
        ValueError: if the file lacks something, or holds something else. Where it isn't even a zip, whatever zipfile
            raises.
    """
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

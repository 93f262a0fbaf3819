"""Reading a saved model, which may be damaged, or made to do harm."""

import os

import keras

from awd_keras.models import AWDLSTM
from awd_keras.runs.check_saved_model import check_saved_model
from awd_keras.runs.reason import reason


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
        check_saved_model(path)
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        if not model.built:
            raise ValueError("its config.json has no shape to build the model for, so that it has no weights")
    # Whatever comes: a damaged file makes zipfile, h5py and Keras raise a dozen things, some of many lines.
    except Exception as error:
        raise ValueError(f"{os.fspath(path)} is not a whole Keras model of this library: {reason(error)}") from error
    return model

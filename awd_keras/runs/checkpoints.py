"""The checkpoints of a run, from which it can be resumed."""

import errno
import os
import pathlib
import re
import sys
import warnings

import keras

from awd_keras.output import write_whole
from awd_keras.runs.config import reason
from awd_keras.runs.loading import check_saved_model

_NAME = re.compile(r"checkpoint-(\d+)\.keras")
# What keeps a file from being read that may be whole.
_UNREADABLE = {errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


class Checkpoints:
    """The last two checkpoints of a run, `checkpoint-EPOCH.keras`, named for the epochs that have ended.

    A checkpoint is a whole compiled model: its weights, all variables of its optimizer, and the state of the masks'
    seeds. With `NTASGD`, the optimizer's variables are also the trigger's measures, the averages, and the raw iterate
    if the averages are in the model. The previous checkpoint is kept in case the last one gets damaged.

    Args:
        directory: path of the run's directory.

    Example:

    >>> import tempfile
    >>> from awd_keras.models import AWDLSTM
    >>> from awd_keras.runs import Checkpoints
    >>> checkpoints = Checkpoints(tempfile.mkdtemp())
    >>> model = AWDLSTM(5, embedding_dim=2, hidden_units=2, num_layers=1)
    >>> model.compile()
    >>> model.build((1, None))
    >>> for epoch in (1, 2, 3):
    ...     checkpoints.write(epoch, model)
    >>> [path.name for path in checkpoints.paths()]
    ['checkpoint-3.keras', 'checkpoint-2.keras']
    >>> checkpoints.load(model)
    3
    """

    def __init__(self, directory: str | os.PathLike):
        self.directory = pathlib.Path(directory)

    def paths(self) -> list[pathlib.Path]:
        """The paths of the existing checkpoints, the last first."""
        found = (path for path in self.directory.glob("checkpoint-*.keras") if _NAME.fullmatch(path.name))
        return sorted(found, key=_epoch, reverse=True)

    def write(self, epoch: int, model: keras.Model) -> None:
        """Writes the checkpoint after `epoch` epochs, and then deletes all others except that of the previous epoch."""
        write_whole(self.directory / f"checkpoint-{epoch}.keras", model.save)
        self._delete_all_but(epoch, epoch - 1)

    def load(self, model: keras.Model, most: int | None = None) -> int | None:
        """Sets the variables of `model` and its optimizer to those of the last whole checkpoint.

        A damaged checkpoint is reported on the standard error stream, skipped, and deleted once another one is loaded.
        If all are damaged, none is deleted, and None is returned. `model` is then unusable, as a part of a damaged
        checkpoint may be in it.

        Args:
            model: an `AWDLSTM` like the saved one, built and compiled.
            most: the largest number of epochs that the checkpoint may have.

        Returns:
            The checkpoint's number of epochs; None if there is no whole one.

        Raises:
            OSError: if a checkpoint can't be read just now, for want of a permission for example.
        """
        for path in self.paths():
            if most is not None and _epoch(path) > most:
                continue
            try:
                check_saved_model(path)
                with warnings.catch_warnings():
                    # Keras only warns if it doesn't load the optimizer's variables.
                    warnings.filterwarnings("error", "Skipping variable loading")
                    model.load_weights(path)
            except MemoryError:
                raise  # The file is not to blame.
            # Any exception, as a damaged file may raise anything.
            except Exception as error:
                if isinstance(error, OSError) and error.errno in _UNREADABLE:
                    raise
                print(f"{path} is damaged, and is left out: {reason(error)}", file=sys.stderr)
            else:
                epoch = _epoch(path)
                # This also deletes what an interrupted `write` has left.
                self._delete_all_but(epoch, epoch - 1)
                return epoch
        return None

    def clear(self) -> None:
        """Deletes all checkpoints."""
        self._delete_all_but()

    def _delete_all_but(self, *epochs):
        for path in self.paths():
            if _epoch(path) not in epochs:
                path.unlink(missing_ok=True)  # Another process of the same training may have deleted it.


def _epoch(path):
    match = _NAME.fullmatch(path.name)
    assert match
    return int(match[1])

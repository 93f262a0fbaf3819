"""The checkpoints of a run, from which it can be resumed."""

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


class Checkpoints:
    """The last two checkpoints of a run, `checkpoint-EPOCH.keras`, named for the epochs that have ended.

    A checkpoint is a whole compiled model: its weights, all variables of its optimizer (for `NTASGD` the trigger's
    measures, the averages, and the raw iterate where the model has the averages), and where the draws of the masks have
    got to. The last but one is kept for the case that the disk damages the last.

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
        """The checkpoints that there are, the last first."""
        found = (path for path in self.directory.glob("checkpoint-*.keras") if _NAME.fullmatch(path.name))
        return sorted(found, key=_epoch, reverse=True)

    def write(self, epoch: int, model: keras.Model) -> None:
        """Writes the checkpoint after `epoch` epochs; when it is whole, all but the one before are deleted."""
        write_whole(self.directory / f"checkpoint-{epoch}.keras", model.save)
        self._delete_all_but(epoch, epoch - 1)

    def load(self, model: keras.Model, most: int | None = None) -> int | None:
        """Sets the variables of `model` and its optimizer to those of the last whole checkpoint.

        The standard error stream tells of a damaged one, which is stepped over, and then deleted. Where None is
        returned, nothing is deleted, and what `model` holds is to be thrown away: a damaged one may be in it in part.

        Args:
            model: an `AWDLSTM` like the saved one, built and compiled.
            most: the greatest number of epochs that the checkpoint may have.

        Returns:
            The checkpoint's number of epochs; None if there is no whole one.
        """
        for path in self.paths():
            if most is not None and _epoch(path) > most:
                continue
            try:
                check_saved_model(path)
                with warnings.catch_warnings():
                    # Keras only warns where it leaves an optimizer as it is.
                    warnings.filterwarnings("error", "Skipping variable loading")
                    model.load_weights(path)
            except MemoryError:
                raise  # Not the fault of the file.
            # Any exception, as in `load_model`.
            except Exception as error:
                print(f"{path} is damaged, and is left out: {reason(error)}", file=sys.stderr)
            else:
                epoch = _epoch(path)
                # What an interrupted `write` has left, too.
                self._delete_all_but(epoch, epoch - 1)
                return epoch
        return None

    def clear(self) -> None:
        """Deletes all of them."""
        self._delete_all_but()

    def _delete_all_but(self, *epochs):
        for path in self.paths():
            if _epoch(path) not in epochs:
                path.unlink(missing_ok=True)  # Another one of several processes may have deleted it.


def _epoch(path):
    match = _NAME.fullmatch(path.name)
    assert match
    return int(match[1])

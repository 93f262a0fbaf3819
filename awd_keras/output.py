"""Writes files whole or not at all, and what is shown: commands to paste, characters that the console has."""

import codecs
import contextlib
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path


def write_whole(path: str | os.PathLike, writer: Callable[[Path], object]) -> None:
    """Replaces the file `path` by what `writer(beside)` writes: all of it, or nothing.

    The writer gets a temporary file in the same directory, named `.writing-` and the file's name. Once that is on the
    disk, it is renamed to `path`. So a crash of the process or of the machine leaves the old file or the new one.

    Args:
        path: the file, in a directory that exists.
        writer: function of the path to write to.

    Raises:
        OSError: if the file can't be written, a full disk for example. The message names the file.
    """
    path = Path(path)
    # The suffix stays last: Keras and matplotlib choose the format by it.
    beside = path.with_name(f".writing-{path.name}")
    try:
        with writing(path):
            writer(beside)
            _to_disk(beside, os.O_RDWR)
            os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    # The new name survives a crash only if the directory is on the disk too. Windows can't open directories.
    if hasattr(os, "O_DIRECTORY"):
        _to_disk(path.parent, os.O_RDONLY)


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """A context in which the message of an `OSError` names the file or directory that is written."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{path} can't be written: {error.strerror or error}") from error


def _to_disk(path, flags):
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def to_resume(directory: str | os.PathLike) -> str:
    """The command that goes on with a run, as it can be pasted, for messages."""
    return f"awd-keras train --resume {shlex.quote(str(directory))}"


_ERRORS = "awd_keras.replace"


@contextlib.contextmanager
def replacing() -> Iterator[None]:
    """A context in which the standard output shows `?` for what it can't encode; at its end, one line says so."""
    lost = False

    def replace(error):
        nonlocal lost
        lost = True
        return "?" * (error.end - error.start), error.end

    stream = sys.stdout
    # An object that replaces the standard output may not encode, and has no `reconfigure` then.
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is None:
        yield
        return
    before = stream.errors
    codecs.register_error(_ERRORS, replace)
    reconfigure(errors=_ERRORS)
    try:
        yield
    finally:
        reconfigure(errors=before)
        if lost:
            print(
                f"awd-keras: a ? stands for each character that {stream.encoding} doesn't have; with the environment "
                "variable PYTHONIOENCODING=utf-8 they are written as they are",
                file=sys.stderr,
            )

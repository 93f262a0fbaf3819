"""Output where not every character can be shown, as on a console of Windows' code page 1252."""

import codecs
import contextlib
import sys
from collections.abc import Iterator

_ERRORS = "awd_keras.replace"


@contextlib.contextmanager
def replacing() -> Iterator[None]:
    """A context in which the standard output shows `?` for what it can't encode; one line tells of that at its end."""
    lost = False

    def replace(error):
        nonlocal lost
        lost = True
        return "?" * (error.end - error.start), error.end

    stream = sys.stdout
    # Not all that stands for the standard output encodes.
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

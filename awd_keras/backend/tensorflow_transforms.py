"""TensorFlow's transforms of functions, which it can't be asked about."""

import sys
import types


def called_by(name):
    """Whether a function of TensorFlow's of this name is running, and what asks is part of what it runs."""
    frame: types.FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == name and frame.f_globals["__name__"].startswith("tensorflow."):
            return True
        frame = frame.f_back
    return False

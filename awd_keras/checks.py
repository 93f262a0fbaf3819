"""Checks of arguments that more than one class makes."""

import math
import numbers


def check_rate(name, value):
    """Raises ValueError unless `value` is a number in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) < 1:
        raise ValueError(f"Argument `{name}` must be a number in [0, 1). Received: {name}={value!r}")


def check_boolean(name, value):
    """Raises ValueError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"Argument `{name}` must be a boolean. Received: {name}={value!r}")


def check_positive_integer(name, value):
    """Raises ValueError unless `value` is a positive integer."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value <= 0:
        raise ValueError(f"Argument `{name}` must be a positive integer. Received: {name}={value!r}")


def check_not_negative_integer(name, value):
    """Raises ValueError unless `value` is an integer of at least 0."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 0:
        raise ValueError(f"Argument `{name}` must be an integer of at least 0. Received: {name}={value!r}")


def check_not_negative(name, value):
    """Raises ValueError unless `value` is a finite number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value) or value < 0:
        raise ValueError(f"Argument `{name}` must be a number of at least 0. Received: {name}={value!r}")

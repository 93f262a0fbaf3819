"""Checks of arguments that more than one class makes."""

import math
import numbers

import keras


def check_rate(name, value):
    """Raises ValueError unless `value` is a number in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) < 1:
        raise ValueError(f"Argument `{name}` must be a number in [0, 1). Received: {name}={value!r}")


def check_choice(name, value, choices):
    """Raises ValueError unless `value` is one of the choices."""
    if value not in list(choices):
        listed = ", ".join(map(repr, choices))
        raise ValueError(f"Argument `{name}` must be one of {listed}. Received: {name}={value!r}")


def check_vocabulary(vocabulary, words):
    """Raises ValueError unless the vocabulary has as many words as the model, which is `words`."""
    if len(vocabulary) != words:
        raise ValueError(
            f"Argument `vocabulary` must have as many words as the model, {words}. Received: vocabulary={vocabulary}"
        )


def check_rows(name, split, tokens, rows):
    """Raises ValueError unless a text, a split of the argument or None, is long enough to be read in so many rows."""
    if len(tokens) <= rows:
        where = "" if split is None else f" in its split {split!r}"
        raise ValueError(
            f"Argument `{name}` must have more than {rows} tokens{where}, to be read in as many rows: this is too "
            f"short for one window. Received: {len(tokens)} tokens"
        )


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


def check_seed(value):
    """Raises ValueError unless `value` is a seed that every backend can take."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise ValueError(f"Argument `seed` must be an integer in [0, 2**32). Received: seed={value!r}")


def check_not_negative(name, value):
    """Raises ValueError unless `value` is a finite number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value) or value < 0:
        raise ValueError(f"Argument `{name}` must be a number of at least 0. Received: {name}={value!r}")


def check_positive(name, value):
    """Raises ValueError unless `value` is a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value) or value <= 0:
        raise ValueError(f"Argument `{name}` must be a positive number. Received: {name}={value!r}")


def check_number(name, value):
    """Raises ValueError unless `value` is a finite number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ValueError(f"Argument `{name}` must be a finite number. Received: {name}={value!r}")


def check_float_dtype(name, value):
    """Returns the name of a floating-point dtype; raises ValueError for anything else."""
    try:
        dtype = keras.backend.standardize_dtype(value)
    except ValueError:
        dtype = ""
    if "float" not in dtype:
        raise ValueError(f"Argument `{name}` must be a dtype of floats. Received: {name}={value!r}")
    return dtype


def check_integers(name, tensor):
    """Raises ValueError unless a tensor or array holds integers, and isn't ragged."""
    _check_dense(name, tensor)
    dtype = _dtype(tensor)
    if "int" not in dtype:
        raise ValueError(f"Argument `{name}` must hold integers. Received: dtype={dtype}")


def check_not_quantized(name, model, instead):
    """Raises ValueError if a language model's embedding is quantized, as its table then holds no weights."""
    if model.embedding.quantization_mode is not None:
        raise ValueError(
            f"Argument `{name}` must not be quantized: {instead}. Received: one whose embedding is in "
            f"{model.embedding.quantization_mode}"
        )


def check_floats(name, tensor):
    """Raises ValueError unless a tensor or array holds floats, and isn't ragged."""
    _check_dense(name, tensor)
    dtype = _dtype(tensor)
    if "float" not in dtype:
        raise ValueError(f"Argument `{name}` must hold floats. Received: dtype={dtype}")


def check_shape(name, tensor, expected):
    """Raises ValueError unless a tensor has this shape, as far as both are known.

    Args:
        name: of the argument.
        tensor: tensor or array.
        expected: tuple; an entry that isn't an integer stands for any length.
    """
    shape = tuple(tensor.shape)
    fits = len(shape) == len(expected) and all(
        length == other or not isinstance(length, int) or not isinstance(other, int)
        for length, other in zip(shape, expected, strict=True)
    )
    if not fits:
        lengths = ", ".join("any" if length is None else str(length) for length in expected)
        raise ValueError(f"Argument `{name}` must have the shape ({lengths}). Received: shape={shape}")


def _check_dense(name, tensor):
    # TensorFlow's ragged tensors have `row_splits`, and Keras's symbolic ones have `ragged`.
    if hasattr(tensor, "row_splits") or getattr(tensor, "ragged", False):
        raise ValueError(
            f"Argument `{name}` must not be ragged: pad it by `to_tensor()`, and mask the padding. "
            f"Received: shape={tuple(tensor.shape)}"
        )


def _dtype(tensor):
    try:
        return keras.backend.standardize_dtype(tensor.dtype)
    except ValueError:  # a dtype that Keras doesn't know, such as NumPy's strings
        return str(tensor.dtype)

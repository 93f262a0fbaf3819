"""The settings of a run. They are checked when they are read, as the user may have edited the file."""

import dataclasses
import json
import textwrap
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from awd_keras.backend import devices as engine
from awd_keras.checks import check_boolean, check_choice, check_not_negative_integer, check_positive_integer
from awd_keras.data.units import UNITS
from awd_keras.models import PRESETS
from awd_keras.runs.optimizer import check_drops

_MISSING = object()

_PERPLEXITIES = ("train_perplexity", "valid_perplexity")
_NUMBERS = ("epoch", *_PERPLEXITIES, "averaging", "tokens_per_second")


def _check_preset(name, value):
    # Looked up in a list, as a value from JSON may have no hash.
    if value not in list(PRESETS):
        raise ValueError(f"Argument `{name}` must be one of {', '.join(map(repr, PRESETS))}. Received: {value!r}")


def _check_object(name, value):
    if not isinstance(value, dict):
        raise ValueError(f"Argument `{name}` must be an object. Received: {value!r}")


def _check_text(name, value):
    if value is None:
        return
    _check_object(name, value)
    if "directory" not in value or not isinstance(value["directory"], str | None):
        raise ValueError(f"Argument `{name}` must hold a directory, or null. Received: {value!r}")
    check_choice("unit", value.get("unit", "word"), UNITS)
    check_positive_integer("min_count", value.get("min_count"))
    if not isinstance(value.get("cache"), str | None):
        raise ValueError(f"Argument `{name}` must hold a cache's directory, or none. Received: {value!r}")


def _check_start(**kinds):
    """Makes the check of a setting about an earlier run: a dictionary with these entries, each of the given type."""

    def check(name, value):
        if value is None:
            return
        _check_object(name, value)
        for key, kind in kinds.items():
            if key not in value or not isinstance(value[key], kind):
                raise ValueError(f"Argument `{name}` must hold {key!r}, as it was written. Received: {value!r}")

    return check


_CHECKS = {
    "preset": _check_preset,
    "model": _check_object,
    "optimizer": _check_object,
    "learning_rate_drops": check_drops,
    "epochs": check_positive_integer,
    "batch_size": check_positive_integer,
    "bptt": check_positive_integer,
    "variable": check_boolean,
    "backwards": check_boolean,
    "length_multiple": check_positive_integer,
    "seed": check_not_negative_integer,
    "skip_nonfinite": check_boolean,
    "devices": check_positive_integer,
    "text": _check_text,
    "started_from": _check_start(run=str, model_digest=str, known_words=int),
    "finetuned_from": _check_start(run=str, model_digest=str, valid_perplexity=int | float | None),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The settings of a run in `config.json`. In runs of earlier versions, settings with a default may be missing.

    Args:
        preset: a name in `awd_keras.models.PRESETS`.
        model: config of the `AWDLSTM`.
        optimizer: config of the optimizer, as `optimizer_config` gives it.
        learning_rate_drops: as `train` has it.
        epochs, batch_size, bptt, variable, backwards, length_multiple, seed, skip_nonfinite, devices: as `train` has
            them.
        text: where the corpus is from, a `Corpus.source`.
        started_from: the dictionary that `train` writes about the run whose model this run began with.
        finetuned_from: the dictionary that `finetune` writes about the run that this run fine-tunes.

    Raises:
        ValueError: if a setting isn't what it must be.
    """

    preset: str
    model: dict
    optimizer: dict
    learning_rate_drops: Sequence[int] = ()
    epochs: int
    batch_size: int
    bptt: int
    variable: bool = True
    backwards: bool = False
    length_multiple: int
    seed: int
    skip_nonfinite: bool
    devices: int = 1
    text: dict | None
    started_from: dict | None = None
    finetuned_from: dict | None = None

    def __post_init__(self):
        for name, check in _CHECKS.items():
            check(name, getattr(self, name))

    @classmethod
    def of(cls, config: dict, where) -> Self:
        """The settings in `config`, read from the file `where`.

        Raises:
            ValueError: if one is missing, or isn't what it must be. The message names the file.
        """
        return cls(**{name: cls.setting(config, name, where) for name in _CHECKS})

    @classmethod
    def setting(cls, config: dict, name: str, where) -> Any:
        """One of the settings in `config`, checked as by `of`."""
        # Settings with a default are attributes of the class.
        value = config[name] if name in config else getattr(cls, name, _MISSING)
        if value is _MISSING:
            raise ValueError(f"{where} has no {name!r}.")
        try:
            _CHECKS[name](name, value)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        return value


def count_devices(devices: int | str, batch_size: int) -> int:
    """The number of devices that `devices` (a positive integer or `"all"`) stands for.

    Raises:
        ValueError: if it is something else, there are fewer devices, or the rows of a batch can't be split evenly.
    """
    if devices != "all":
        check_positive_integer("devices", devices)
    count = engine.count_devices(devices)
    if batch_size % count:
        raise ValueError(
            f"Argument `devices` must divide the rows of a batch. Received: devices={count} with {batch_size=}"
        )
    return count


def check_metrics(lines: list[dict], where) -> None:
    """Raises a `ValueError` unless each line has an epoch's numbers. A perplexity that overflowed may be None."""
    for number, line in enumerate(lines, start=1):
        for name in _NUMBERS:
            kinds = int | float | None if name in _PERPLEXITIES else int | float
            if name not in line or not isinstance(line[name], kinds):
                raise ValueError(f"{where}, line {number} must hold a number {name!r}. Received: {line.get(name)!r}")


def parse_object(text: bytes, where) -> dict:
    """The JSON object in `text`.

    Args:
        text: bytes in UTF-8.
        where: the file, or the part of one, that the text was read from; the message begins with it.

    Raises:
        ValueError: if `text` is not JSON, or isn't an object.
    """
    try:
        value = json.loads(text)
    # Not only JSON errors: a number of 5000 digits raises another ValueError, and 100,000 brackets a RecursionError.
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{where} must hold a JSON object. Received: {type(value).__name__}")
    return value


def format_object(value: dict, indent: int | None = None) -> str:
    """The JSON of `value`. `parse_object` gives the same value again, but None for a number that isn't finite."""

    # JSON has no NaN or infinity, which a diverged run has: null is written instead. NumPy's numbers are converted.
    def plain(value):
        if isinstance(value, dict):
            return {key: plain(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [plain(entry) for entry in value]
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, float) and not abs(value) < float("inf"):
            return None
        return value

    return json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


def reason(error: Exception) -> str:
    """The message of `error` in one line of at most 300 characters, or the name of its class if that is empty."""
    return textwrap.shorten(str(error), 300, placeholder=" ...") or type(error).__name__

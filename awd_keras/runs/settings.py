"""What must be in the files that a run goes on from, as somebody may have edited them."""

from awd_keras.checks import check_boolean, check_not_negative_integer, check_positive_integer
from awd_keras.models import PRESETS

# What a run has that was made before there was such a setting, or is no fine-tuned one.
DEFAULTS = {"variable": True, "finetuned_from": None, "devices": 1}

_PERPLEXITIES = ("train_perplexity", "valid_perplexity")
_NUMBERS = ("epoch", *_PERPLEXITIES, "averaging", "tokens_per_second")


def check_setting(name: str, value) -> None:
    """Raises a `ValueError` unless `value` is what the setting `name` in `config.json` can be."""
    _CHECKS[name](name, value)


def check_metrics(lines: list[dict], where) -> None:
    """Raises a `ValueError` unless each line has the figures of an epoch; a perplexity that overflowed is None."""
    for number, line in enumerate(lines, start=1):
        for name in _NUMBERS:
            kinds = int | float | None if name in _PERPLEXITIES else int | float
            if name not in line or not isinstance(line[name], kinds):
                raise ValueError(f"{where}, line {number} must hold a number {name!r}. Received: {line.get(name)!r}")


def _check_preset(name, value):
    # A list, as what JSON holds may have no hash.
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
    check_positive_integer("min_count", value.get("min_count"))
    if not isinstance(value.get("cache"), str | None):
        raise ValueError(f"Argument `{name}` must hold a cache's directory, or none. Received: {value!r}")


def _check_start(name, value):
    if value is None:
        return
    _check_object(name, value)
    for key, kinds in (("run", str), ("model_digest", str), ("valid_perplexity", int | float | None)):
        if key not in value or not isinstance(value[key], kinds):
            raise ValueError(f"Argument `{name}` must hold {key!r}, as `finetune` writes it. Received: {value!r}")


_CHECKS = {
    "preset": _check_preset,
    "model": _check_object,
    "optimizer": _check_object,
    "epochs": check_positive_integer,
    "batch_size": check_positive_integer,
    "bptt": check_positive_integer,
    "variable": check_boolean,
    "length_multiple": check_positive_integer,
    "seed": check_not_negative_integer,
    "skip_nonfinite": check_boolean,
    "devices": check_positive_integer,
    "text": _check_text,
    "finetuned_from": _check_start,
}

"""The optimizer of a run, one of the original program's or any of Keras's, and its form in `config.json`."""

from typing import Any

import keras

from awd_keras.checks import check_choice, check_not_negative, check_positive_integer
from awd_keras.optimizers import NTASGD, L2WeightDecay

# The learning rate of each optimizer if the preset's learning rate is for another kind of optimizer.
_RATES = {"ntasgd": 30.0, "sgd": 30.0, "adam": 0.001}
_OF_NTASGD = "non_monotone_interval"


def choose_optimizer(preset: dict, optimizer: str | dict | keras.optimizers.Optimizer | None) -> Any:
    """Makes the optimizer for the argument of `train`.

    Args:
        preset: the preset's settings.
        optimizer: a dictionary of settings that override the preset's, a name, an optimizer, or None.

    Raises:
        ValueError: if it is none of these, or a setting is unknown or out of its range.
    """
    if isinstance(optimizer, keras.optimizers.Optimizer):
        rate = optimizer.learning_rate
        if not isinstance(rate, keras.Variable):
            raise ValueError(
                "Argument `optimizer` must have a learning rate that is a number, as each window scales it; "
                f"`learning_rate_drops` makes it smaller. Received: a schedule, {rate!r}"
            )
        return optimizer
    given = {"name": optimizer} if isinstance(optimizer, str) else {} if optimizer is None else optimizer
    if not isinstance(given, dict):
        raise ValueError(
            f"Argument `optimizer` must be one of {', '.join(map(repr, _RATES))}, a dictionary of settings or a Keras "
            f"optimizer. Received: optimizer={optimizer!r}"
        )
    settings = {"name": "ntasgd", **preset, **given}
    name = settings["name"]
    check_choice("optimizer", name, _RATES)
    if _RATES[name] != _RATES[preset.get("name", "ntasgd")] and "learning_rate" not in given:
        settings["learning_rate"] = _RATES[name]
    if name == "ntasgd":
        return NTASGD(**settings)
    if _OF_NTASGD in given:
        raise ValueError(
            f"Argument `{_OF_NTASGD}` must be left out with the optimizer {name!r}, which averages nothing. Received: "
            f"{_OF_NTASGD}={given[_OF_NTASGD]!r}"
        )
    settings.pop(_OF_NTASGD, None)
    # Checked here, as Keras takes any value.
    for argument in ("learning_rate", "global_clipnorm"):
        if settings.get(argument) is not None:
            check_not_negative(argument, settings[argument])
    decay = settings.pop("weight_decay", None) or 0.0
    if name == "sgd":
        inner = keras.optimizers.SGD(**settings)
    else:  # with PyTorch's epsilon, as in the original program
        inner = keras.optimizers.Adam(**{"epsilon": 1e-8, **settings})
    return L2WeightDecay(inner, decay, name=f"{name}_with_decay")


def optimizer_config(optimizer: keras.optimizers.Optimizer) -> dict:
    """The form of an optimizer in `config.json`: the config of an `NTASGD`, or the class and the config of another one.

    Raises:
        ValueError: if the optimizer can't be made from that again.
    """
    if type(optimizer) is NTASGD:
        return optimizer.get_config()
    config = keras.saving.serialize_keras_object(optimizer)
    config.pop("build_config", None)
    try:
        optimizer_from(config)
    # Any exception: Keras wraps errors of arguments in various classes.
    except Exception as error:
        raise ValueError(
            "Argument `optimizer` must be an optimizer that Keras can make again from its config; your own class needs "
            f"`keras.saving.register_keras_serializable`. Received: optimizer={optimizer!r}, and {error}"
        ) from error
    return config


def optimizer_from(config: dict) -> Any:
    """Makes a new optimizer from what `optimizer_config` returned.

    Raises:
        ValueError: if the config isn't one of an optimizer. Keras may raise other exceptions.
    """
    if is_ntasgd(config):
        return NTASGD.from_config(config)
    optimizer = keras.saving.deserialize_keras_object(config, safe_mode=True)
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise ValueError(f"it must be an optimizer's. Received: {config.get('class_name')!r}")
    return optimizer


def is_ntasgd(config: dict) -> bool:
    """Whether what `optimizer_config` returned belongs to an `NTASGD`."""
    return "class_name" not in config


def optimizer_name(config: dict) -> str:
    """The name of the optimizer's class. If the optimizer wraps others, as weight decay does, that of the innermost."""
    while isinstance(config.get("config"), dict) and isinstance(config["config"].get("optimizer"), dict):
        config = config["config"]["optimizer"]
    return str(config.get("class_name", "NTASGD"))


def check_drops(name, value):
    """Raises ValueError unless `value` is a list of epochs in ascending order."""
    epochs: list[Any] = list(value) if isinstance(value, list | tuple) else [None]
    try:
        for epoch in epochs:
            check_positive_integer(name, epoch)
        increasing = sorted(set(epochs)) == epochs
    except ValueError:
        increasing = False
    if not increasing:
        raise ValueError(
            f"Argument `{name}` must be a list of epochs, positive integers in ascending order. Received: {value!r}"
        )


def check_skipping(skip_nonfinite: bool, config: dict) -> None:
    """Raises ValueError if `skip_nonfinite` is set for an optimizer that can't leave out steps."""
    if skip_nonfinite and not is_ntasgd(config):
        raise ValueError(
            "Argument `skip_nonfinite` needs the optimizer NTASGD: no other can leave out a step. Received: "
            f"skip_nonfinite=True with {optimizer_name(config)}"
        )

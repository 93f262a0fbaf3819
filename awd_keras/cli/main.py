"""The program `awd-keras`, and which framework it runs on."""

import argparse
import importlib.util
import os
import re
import sys

from awd_keras._version import __version__
from awd_keras.cli.errors import did_you_mean, in_options, of_parser, of_path
from awd_keras.cli.evaluate_command import add_evaluate
from awd_keras.cli.model_commands import add_analyse, add_generate, add_next, add_score, add_verify
from awd_keras.cli.train_commands import add_finetune, add_train
from awd_keras.output import replacing


class Parser(argparse.ArgumentParser):
    """Reports bad input in one line, and takes no abbreviated options."""

    def __init__(self, **arguments):
        super().__init__(allow_abbrev=False, **arguments)

    def error(self, message):
        self.exit(2, f"awd-keras: error: {of_parser(message)}\n")


def main(arguments: list[str] | None = None) -> int:
    """Runs a command of `awd-keras`.

    Args:
        arguments: what follows the program's name. Defaults to `sys.argv[1:]`.

    Returns:
        The exit status: 0, or 1 if `verify` finds a fault. It is 2 after bad input or a training that
        diverges, which one line on the standard error stream reports. After SIGINT it is 130, after
        SIGTERM 143.
    """
    parser, commands = _parser()
    options, others = parser.parse_known_args(arguments)
    # The command's options, all of which are in its usage.
    flags = re.findall(r"--[\w-]+", commands[options.command].format_usage())
    if others:
        name = others[0].partition("=")[0]
        hint = did_you_mean(name, flags) if name.startswith("-") else ""
        parser.error(f"unknown option or argument: {' '.join(others)}{hint}")
    with replacing():
        return _run(options, flags)


def _run(options, flags):
    try:
        choose_backend(options.backend, options.trains)
        status = options.command(options)
        sys.stdout.flush()  # while errors are still caught
        return status
    except BrokenPipeError:
        # The reader has closed the pipe, as `head` does.
        _discard_output()
        return 0
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        try:
            sys.stdout.flush()
        except OSError:
            _discard_output()
        message = of_path(error, options) if isinstance(error, OSError) else str(error)
        print(f"awd-keras: error: {in_options(' '.join(message.split()), flags)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("awd-keras: stopped by SIGINT", file=sys.stderr)
        return 130


def _discard_output():
    """Sends the standard output nowhere, with what is left in its buffer."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser():
    """The parser of the program, and a dictionary of each command's parser by the function that runs the command."""
    parser = Parser(
        prog="awd-keras",
        description="AWD-LSTM language models on PyTorch, JAX and TensorFlow.",
    )
    parser.add_argument("--version", action="version", version=f"awd-keras {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    trains, reads = Parser(add_help=False), Parser(add_help=False)
    otherwise = "default: the variable KERAS_BACKEND, or the first that is installed"
    trains.add_argument("--backend", metavar="NAME", help=f"{', '.join(BACKENDS)}; {otherwise}")
    reads.add_argument("--backend", metavar="NAME", help=f"{', '.join(BACKENDS)} or numpy; {otherwise}")
    for add in (add_train, add_finetune, add_verify):
        add(commands, trains)
    for add in (add_evaluate, add_score, add_generate, add_next, add_analyse):
        add(commands, reads)
    return parser, {command.get_default("command"): command for command in commands.choices.values()}


BACKENDS = ("jax", "torch", "tensorflow")


def choose_backend(name: str | None, trains: bool = True) -> None:
    """Sets `KERAS_BACKEND` to the name. Without a name, the variable stays, or is set to the first installed backend.

    Args:
        name: one of `BACKENDS`, `"numpy"`, or None.
        trains: whether gradients will be needed, which Keras's NumPy backend can't compute.

    Raises:
        ValueError: if there is no such backend, it isn't installed or can't train, or Keras has been imported with
            another one.
    """
    loaded = _loaded()
    chosen = name if name is not None else os.environ.get("KERAS_BACKEND") or loaded or _first_installed()
    known = BACKENDS if trains else (*BACKENDS, "numpy")
    where = "The environment variable KERAS_BACKEND" if name is None else "Option --backend"
    if chosen not in known:
        why = ", which can't train" if chosen == "numpy" else ""
        raise ValueError(f"{where} must be one of {', '.join(known)}. Received: {chosen!r}{why}")
    # Keras's NumPy backend imports JAX, for operations that no model here uses.
    package = "jax" if chosen == "numpy" else chosen
    if importlib.util.find_spec(package) is None:
        raise ValueError(
            f"{where} is {chosen!r}, which needs {package}, and that is not installed. "
            f'To install it: pip install "awd-keras[{package}]"'
        )
    if loaded not in (None, chosen):
        raise ValueError(f"The backend can't become {chosen!r}: this process has imported Keras with {loaded!r}.")
    os.environ["KERAS_BACKEND"] = chosen
    # TensorFlow's C++ code logs much when it starts. Errors are still raised as exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _loaded():
    keras = sys.modules.get("keras")
    return None if keras is None else keras.backend.backend()


def _first_installed():
    for name in BACKENDS:
        if importlib.util.find_spec(name) is not None:
            return name
    raise ValueError(
        'Keras has no backend here. To install one: pip install "awd-keras[jax]", '
        '"awd-keras[torch]" or "awd-keras[tensorflow]"'
    )

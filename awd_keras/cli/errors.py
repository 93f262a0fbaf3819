"""Errors in the user's words: each names the option, what it must be, and what came."""

import contextlib
import difflib
import re
from pathlib import Path

# Names that people have for a value, where no other is close enough.
_MEANT = {"tf": "tensorflow"}
# Arguments of functions whose option has another name.
_OPTIONS = {
    "path": "--data",
    "window": "--cache",
    "global_clipnorm": "--clip",
    "max_words": "--words",
    "k": "--words",
    "tokens": "--data",
    "context": "--prompt",
    "words": "--text",
    "text": "--prompt",
    "corpus": "--data",
}
# What argparse says of a value, and what is said here.
_OF_VALUES = {
    "invalid int value:": "must be an integer. Received:",
    "invalid float value:": "must be a number. Received:",
    "expected one argument": "needs a value. One that begins with a dash is written as in --option=-value",
    "not allowed with argument": "can't be given together with",
}
# Options that take a path, and what must be there.
_PATHS = {
    "output": "a directory that can be written",
    "text_cache": "a directory that can be written",
    "text": "a file that can be read",
}


def did_you_mean(name, known):
    """A question with the likeliest of `known`, to be put after a message; empty if none is like `name`."""
    # The two dashes that every option has make none of them alike.
    names = {each.removeprefix("--"): each for each in known}
    name = name.removeprefix("--").lower()
    close = difflib.get_close_matches(_MEANT.get(name, name), names, 1)
    return f". Did you mean {names[close[0]]}?" if close else ""


def with_likeliest(message):
    """The `message`, followed by `did_you_mean` where it says which values there are and which one came."""
    choice = re.search(r"must be one of (.*)\. Received: '(.*)'$", message)
    return message + did_you_mean(choice[2], re.findall(r"[\w-]+", choice[1])) if choice else message


def of_parser(message):
    """What argparse says of the arguments, in the words of `in_options`."""
    if message.endswith("required: COMMAND"):
        return "Argument COMMAND is missing. To list the commands: awd-keras --help"
    for said, plain in _OF_VALUES.items():
        message = message.replace(said, plain)
    message = re.sub(r"^one of the arguments (.*) is required", r"One of these options is required: \1", message)
    message = re.sub(r"^argument (--[\w-]+): ", r"Option \1 ", message)
    message = re.sub(r"^argument (\w+): ", r"Argument \1 ", message)
    message = re.sub(r"invalid choice: ('.*?') \(choose from (.*)\)", r"must be one of \2. Received: \1", message)
    return with_likeliest(message)


def in_options(message, flags):
    """The `message` of a function about an argument, naming the command's option instead.

    Args:
        message: as the package's errors are: ``Argument `rate` must be ... Received: rate=2``.
        flags: the options that the command has.
    """

    def option(match):
        name = match[2]
        flag = f"--{name.replace('_', '-')}"
        if flag not in flags:
            flag = _OPTIONS.get(name, "")
        return f"{'Option ' if match[1] else ''}{flag}" if flag in flags else match[0]

    if not message.startswith("Argument "):  # Of a file, which has arguments' names.
        return with_likeliest(message)
    said = re.sub(r"(Argument )?`(\w+)`", option, message)
    return with_likeliest(message if said == message else re.sub(r"Received: \w+=", "Received: ", said))


def of_path(error, options):
    """The message of an `OSError`, naming the option that its file was given by, if one was."""
    if error.filename is not None and error.strerror:
        path = Path(str(error.filename))
        for name, expected in _PATHS.items():
            given = getattr(options, name, None)
            if given is not None and (path == Path(given) or _within(path, given) or _within(given, path)):
                flag = name.replace("_", "-")
                return f"Option --{flag} must be {expected}. Received: {str(given)!r}: {error.strerror.lower()}"
    return str(error)


def _within(path, directory):
    return Path(directory) in Path(path).parents


@contextlib.contextmanager
def reading(option):
    """A context in which a text is read: its errors that name a file alone, or its `path`, name the option."""
    try:
        yield
    except ValueError as error:
        message = re.sub("^Argument `path` ", f"Option {option} ", str(error))
        named = message.startswith(("Argument ", "Option "))
        raise ValueError(message if named else f"Option {option}: {message}") from error

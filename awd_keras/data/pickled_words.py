"""Reading a list of strings from a pickle without unpickling it."""

import pickletools

_STRINGS = ("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
_SILENT = ("PROTO", "FRAME", "MARK", "APPEND", "APPENDS", "STOP")


def read_pickled_words(content: bytes) -> list[str]:
    """Returns the strings of a pickled list, by interpreting the pickle's operations.

    No unpickler runs, as a pickle can make an unpickler call any function.

    Args:
        content: what `pickle.dump` wrote.

    Raises:
        ValueError: if an operation isn't one that a list of strings needs.
    """
    words: list = []
    kept: dict = {}  # the pickle's memo: strings that occur twice are stored once
    lists = 0
    for operation, argument, _ in pickletools.genops(content):
        name = operation.name
        if name in ("EMPTY_LIST", "LIST"):
            lists += 1
        elif name in _STRINGS:
            words.append(argument)
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            words.append(kept.get(argument))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            kept[len(kept) if name == "MEMOIZE" else argument] = words[-1] if words else None
        elif name not in _SILENT:
            raise ValueError(f"the operation {name} is in it")
        if lists != 1 and name not in _SILENT:
            raise ValueError("it isn't one list")
    return words

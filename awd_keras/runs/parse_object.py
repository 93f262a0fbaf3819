"""Reading JSON that somebody may have edited."""

import json


def parse_object(text: bytes, where) -> dict:
    """The JSON object in `text`.

    Args:
        text: what was read, in UTF-8.
        where: what it was read from, for the message.

    Raises:
        ValueError: if `text` is not JSON, or JSON of something else.
    """
    try:
        value = json.loads(text)
    # Not all of them are JSON errors: a number of 5000 digits is none, nor are 100,000 brackets.
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{where} must hold a JSON object. Received: {type(value).__name__}")
    return value

"""What went wrong, for a message of one line."""

import textwrap


def reason(error: Exception) -> str:
    """What `error` says, in one line of at most 300 characters; the name of its class if it says nothing."""
    return textwrap.shorten(str(error), 300, placeholder=" ...") or type(error).__name__

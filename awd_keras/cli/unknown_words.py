"""How the command line tells of words that a vocabulary lacks."""

import sys


def tell_unknown(words):
    """One line on the standard error stream, if there are any."""
    if words:
        listed = ", ".join(map(repr, words))
        print(f"awd-keras: read as <unk>, as the vocabulary lacks them: {listed}", file=sys.stderr)

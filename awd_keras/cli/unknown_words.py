"""How the command line tells of words that a vocabulary lacks."""

import sys


def tell_unknown(words, vocabulary):
    """One line on the standard error stream, if the vocabulary lacks some of a text's words."""
    unknown = [word for word in words if word not in vocabulary]
    if unknown:
        listed = ", ".join(map(repr, dict.fromkeys(unknown)))
        read = f"{len(unknown)} of {len(words)} words read as <unk>, as the vocabulary lacks them"
        print(f"awd-keras: {read}: {listed}", file=sys.stderr)

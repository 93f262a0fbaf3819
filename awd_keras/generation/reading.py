"""What a model that writes has read: a prompt, and then its own words."""

import itertools

import numpy as np

from awd_keras.inference import begin_rows, begin_text, first_of, logits_of, run

# The words of a prompt that are read at a time: few numbers, as there may be a program for each. The last is the step
# that writes.
SIZES = (128, 32, 8, 1)


def read_prompts(model, ids):
    """Reads all words of some prompts but the last one of each, from a zero state.

    The prompts end together: a shorter one begins later, and what its row reads before is forgotten there.

    Args:
        model: the `keras.Model`, which carries its state.
        ids: a list of lists of ids, none empty.

    Returns:
        The last ids, int32 (rows, 1).
    """
    length = max(map(len, ids))
    begins = [length - len(row) for row in ids]
    text = np.array([[row[0]] * begin + row for row, begin in zip(ids, begins, strict=True)], dtype="int32")
    begin_text(model)
    for start, end in itertools.pairwise(sorted({*begins, length - 1})):
        for low, high in _windows(start, end):
            run(model, next_logits if high - low == 1 else _read, text[:, low:high])
        rows = [row for row, begin in enumerate(begins) if begin == end]
        if rows:
            begin_rows(model, rows)
    return text[:, -1:]


def next_logits(model, ids):
    """The logits (rows, vocabulary) of the words after these ids, (rows, time)."""
    return first_of(model(ids, training=False))[:, -1]


def _windows(start, end):
    for size in SIZES:
        while end - start >= size:
            yield start, start + size
            start += size


def _read(model, ids):
    # Of which nothing is wanted but the state.
    logits_of(model, ids)
    return ()

"""The check of the words that a picture has along its axes."""


def check_words(words, array, row):
    """Raises ValueError unless `array`, of shape (batch, time, ...), has this row, and a time step for each word."""
    batch_size, time = array.shape[:2]
    if not 0 <= row < batch_size:
        raise ValueError(f"Argument `row` must be in [0, {batch_size}), the batch. Received: row={row}")
    if isinstance(words, str) or len(words) != time:
        raise ValueError(
            f"Argument `words` must be a list of {time} words, one for each time step. Received: words={words!r}"
        )

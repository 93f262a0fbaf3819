"""What a run begins with that starts from another one's model."""

import os

from awd_keras.data import Vocabulary
from awd_keras.models import AWDLSTM, adapt_vocabulary
from awd_keras.runs.loading import file_digest
from awd_keras.runs.run import Run

# What can't be another one than that of the weights.
_SIZES = ("vocabulary_size", "embedding_dim", "hidden_units", "num_layers", "cell", "tie_weights", "softmax")


def model_of(old: Run, vocabulary: Vocabulary) -> tuple[AWDLSTM, dict]:
    """The best model of a run, for the words of a vocabulary, and what the new run's settings say of it.

    Raises:
        FileNotFoundError: if the run has no model.
        ValueError: if the model can't be read, or there is none like it for other words.
    """
    model, own = old.model(), old.vocabulary()
    if own != vocabulary:
        try:
            model = adapt_vocabulary(model, own, vocabulary)
        except ValueError as error:
            raise ValueError(f"The run in {old.directory} can't start one of other words. {error}") from error
    return model, {
        "run": os.fspath(old.directory),
        "model_digest": file_digest(old.path("model.keras")),
        "known_words": sum(word in own for word in vocabulary),
    }


def like(start: AWDLSTM, overrides: dict) -> AWDLSTM:
    """A new model of the sizes of `start`, and of its rates where `overrides` don't say others.

    Raises:
        ValueError: if `overrides` have another size.
    """
    config = start.get_config()
    for name in _SIZES:
        if overrides.get(name, config[name]) != config[name]:
            raise ValueError(
                f"Argument `{name}` must be that of the run to start from, {config[name]!r}. "
                f"Received: {name}={overrides[name]!r}"
            )
    return AWDLSTM.from_config({**config, **overrides})

"""Settings of the model, the optimizer and the training that belong together."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Preset:
    """Settings of one published experiment.

    Args:
        model: keyword arguments of `AWDLSTM`.
        optimizer: keyword arguments of `NTASGD`, or of another optimizer that `awd_keras.runs.train` knows, whose
            `name` is then one of them.
        batch_size: streams of the training text read side by side.
        epochs: passes over the training text.
        bptt: base length of a window, in tokens.
        valid_batch_size: streams of the validation text.
        test_batch_size: streams of the test text.
        learning_rate_drops: epochs after which the learning rate is divided by 10.
        unit: what a text is cut into, as in `awd_keras.data.Corpus.from_directory`.

    Example:

    >>> from awd_keras.models import PRESETS
    >>> PRESETS["ptb"].batch_size, PRESETS["ptb"].model["hidden_units"]
    (20, 1150)
    """

    model: dict
    optimizer: dict
    batch_size: int
    epochs: int
    bptt: int = 70
    valid_batch_size: int = 10
    test_batch_size: int = 1
    learning_rate_drops: tuple[int, ...] = ()
    unit: str = "word"


_PUBLISHED_MODEL = {
    "embedding_dim": 400,
    "hidden_units": 1150,
    "num_layers": 3,
    "output_dropout": 0.4,
    "embedding_dropout": 0.1,
    "weight_drop": 0.5,
    "alpha": 2.0,
    "beta": 1.0,
}
_PUBLISHED_OPTIMIZER = {
    "learning_rate": 30.0,
    "non_monotone_interval": 5,
    "weight_decay": 1.2e-6,
    "global_clipnorm": 0.25,
}

# Adam, with the original program's settings for characters.
_ADAM = {"name": "adam", "learning_rate": 0.002, "weight_decay": 1.2e-6, "global_clipnorm": 0.25}
# The original program uses none of these for characters.
_NO_PENALTIES = {"embedding_dropout": 0.0, "alpha": 0.0, "beta": 0.0}

# "ptb" and "wikitext-2" are from section 5 of the paper, "ptb-character" and "enwik8" from the README of the original
# program. The others are this library's: "ptb-small", with 3.9 million weights, trains on one core in about ten hours,
# "tiny" and "tiny-character" on a laptop in a few minutes.
PRESETS = {
    "ptb": Preset(
        model={**_PUBLISHED_MODEL, "input_dropout": 0.4, "hidden_dropout": 0.25},
        optimizer=_PUBLISHED_OPTIMIZER,
        batch_size=20,
        epochs=500,
    ),
    "wikitext-2": Preset(
        model={**_PUBLISHED_MODEL, "input_dropout": 0.65, "hidden_dropout": 0.2},
        optimizer=_PUBLISHED_OPTIMIZER,
        batch_size=80,
        epochs=750,
    ),
    "ptb-small": Preset(
        model={
            "embedding_dim": 200,
            "hidden_units": 480,
            "num_layers": 2,
            "input_dropout": 0.3,
            "hidden_dropout": 0.2,
            "output_dropout": 0.3,
            "embedding_dropout": 0.1,
            "weight_drop": 0.4,
            "alpha": 2.0,
            "beta": 1.0,
        },
        optimizer=_PUBLISHED_OPTIMIZER,
        batch_size=20,
        epochs=150,
    ),
    "tiny": Preset(
        model={
            "embedding_dim": 64,
            "hidden_units": 128,
            "num_layers": 2,
            "input_dropout": 0.2,
            "hidden_dropout": 0.2,
            "output_dropout": 0.2,
            "embedding_dropout": 0.02,
            "weight_drop": 0.1,
            "alpha": 1.0,
            "beta": 0.5,
        },
        # Averaging begins early, so that twenty epochs are enough to gain from it.
        optimizer={**_PUBLISHED_OPTIMIZER, "learning_rate": 15.0, "non_monotone_interval": 1},
        batch_size=10,
        bptt=35,
        epochs=20,
    ),
    "ptb-character": Preset(
        model={
            "embedding_dim": 200,
            "hidden_units": 1000,
            "num_layers": 3,
            "input_dropout": 0.1,
            "hidden_dropout": 0.25,
            "output_dropout": 0.1,
            "weight_drop": 0.5,
            **_NO_PENALTIES,
        },
        optimizer=_ADAM,
        batch_size=128,
        bptt=150,
        epochs=500,
        learning_rate_drops=(300, 400),
        unit="character",
    ),
    "enwik8": Preset(
        model={
            "embedding_dim": 400,
            "hidden_units": 1840,
            "num_layers": 3,
            "input_dropout": 0.1,
            "hidden_dropout": 0.1,
            "output_dropout": 0.4,
            "weight_drop": 0.2,
            **_NO_PENALTIES,
        },
        optimizer={**_ADAM, "learning_rate": 0.001},
        batch_size=128,
        bptt=200,
        epochs=50,
        learning_rate_drops=(25, 35),
        unit="byte",
    ),
    "tiny-character": Preset(
        model={
            "embedding_dim": 64,
            "hidden_units": 192,
            "num_layers": 2,
            "input_dropout": 0.05,
            "hidden_dropout": 0.1,
            "output_dropout": 0.05,
            "weight_drop": 0.1,
            **_NO_PENALTIES,
        },
        optimizer={**_ADAM, "learning_rate": 0.004},
        batch_size=16,
        bptt=50,
        epochs=8,
        learning_rate_drops=(6,),
        unit="character",
    ),
}
"""The presets by name: "ptb", "ptb-small", "wikitext-2", "tiny", "ptb-character", "enwik8", "tiny-character"."""

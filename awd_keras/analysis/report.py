"""Runs a language model over a text and collects what its LSTMs do, also as files."""

import json
import os
import pathlib
from typing import NamedTuple

import numpy as np

from awd_keras.analysis.gates import Gates, gate_activations
from awd_keras.analysis.memory import Memory, memory_weights
from awd_keras.analysis.plots import plot_gates, plot_memory
from awd_keras.checks import check_vocabulary
from awd_keras.data import UNK, Vocabulary
from awd_keras.data.own_tokens import Tokenizer
from awd_keras.data.units import label
from awd_keras.data.vocabulary import WITH_UNK
from awd_keras.models import AWDLSTM
from awd_keras.output import write_whole


class LayerAnalysis(NamedTuple):
    """One LSTM of a model that has read a text, in a batch of 1.

    Attributes:
        name: the layer's name.
        gates: its `Gates`.
        memory: its `Memory`, reduced over units.
    """

    name: str
    gates: Gates
    memory: Memory


class TextAnalysis(NamedTuple):
    """What the LSTMs of a model do with the words of a text.

    Attributes:
        words: the words as the model has read them, `<unk>` where the vocabulary lacks one.
        unknown: the words that the vocabulary lacks, each once.
        layers: a `LayerAnalysis` for each LSTM, the first one first.
    """

    words: tuple[str, ...]
    unknown: tuple[str, ...]
    layers: tuple[LayerAnalysis, ...]

    @property
    def unknown_tokens(self) -> int:
        """The number of words that were read as `<unk>`."""
        return self.words.count(UNK)


def analyse(model: AWDLSTM, vocabulary: Vocabulary | Tokenizer, text: str) -> TextAnalysis:
    """The gates and the memory weights of each LSTM of a model that reads a text, from a zero state.

    The state that the model carries is neither read nor written.

    Args:
        model: a built `AWDLSTM`.
        vocabulary: the `Vocabulary` of the model, or its tokenizer, as for `Vocabulary.of`.
        text: string; a word that the vocabulary lacks is `<unk>`.

    Returns:
        A `TextAnalysis`.

    Raises:
        ValueError: if `model` isn't a built `AWDLSTM`, its vocabulary is another, the text has no words, or words that
            the vocabulary lacks and it has no `<unk>`, or the model computes numbers that aren't finite.

    Example:

    >>> from awd_keras.analysis import analyse
    >>> from awd_keras.data import Vocabulary
    >>> from awd_keras.models import AWDLSTM
    >>> vocabulary = Vocabulary(["<eos>", "<unk>", "the", "cat"])
    >>> model = AWDLSTM(len(vocabulary), embedding_dim=8, hidden_units=8, num_layers=2)
    >>> model.build((1, None))
    >>> found = analyse(model, vocabulary, "the black cat")
    >>> found.words, found.unknown
    (('the', '<unk>', 'cat'), ('black',))
    >>> [
    ...     (layer.name, layer.gates.f.shape, layer.memory.content.shape)
    ...     for layer in found.layers
    ... ]
    [('lstm_0', (1, 3, 8), (1, 3, 3)), ('lstm_1', (1, 3, 8), (1, 3, 3))]
    """
    if not isinstance(model, AWDLSTM) or not model.built:
        raise ValueError(f"Argument `model` must be an AWDLSTM that is built. Received: model={model!r}")
    vocabulary = Vocabulary.of(vocabulary)
    check_vocabulary(vocabulary, model.vocabulary_size)
    given = vocabulary.cut(text)
    if not given:
        raise ValueError(f"Argument `text` must have at least one word. Received: text={text!r}")
    unknown = tuple(dict.fromkeys(word for word in given if word not in vocabulary))
    if unknown and UNK not in vocabulary:
        listed = ", ".join(map(repr, unknown))
        raise ValueError(
            f"Argument `text` must hold words of the vocabulary only, as it has no {UNK} for others. Received: "
            f"{listed}. {WITH_UNK}"
        )
    ids = vocabulary.encode(given)
    x = model.embedding(ids[None], training=False)
    layers = []
    for lstm in model.lstms:
        # First, as it refuses a text that is too long before it reads it.
        memory = memory_weights(lstm, x, reduce="rms")
        gates = gate_activations(lstm, x)
        if not np.isfinite(gates.h).all():
            raise ValueError(f"Argument `model` must compute finite numbers, and the layer {lstm.name!r} doesn't.")
        layers.append(LayerAnalysis(lstm.name, gates, memory))
        # Dropout, which is between two layers, does nothing at inference.
        x = gates.h
    return TextAnalysis(tuple(vocabulary.decode(ids)), unknown, tuple(layers))


def write_analysis(analysis: TextAnalysis, directory: str | os.PathLike) -> list[pathlib.Path]:
    """Writes what `analyse` gives into a directory: the figures of each layer as JSON, and its pictures.

    For a layer named `lstm_0` these are

    - `lstm_0.json`, an object with the `"layer"`, the `"words"`, the `"gates"` (for each of i, f, o, content, c and h a
      list of time steps, each a list of units) and the `"memory"` (the reduced weights: of `"content"` a list of time
      steps, each a list of words, and of `"initial"` a list of time steps), to 6 significant digits;
    - `lstm_0_gates.png`, drawn by `plot_gates`;
    - `lstm_0_memory.png`, drawn by `plot_memory`.

    An existing file with one of these names is replaced.

    Args:
        analysis: a `TextAnalysis`.
        directory: path of the directory, made where it doesn't exist.

    Returns:
        The paths of the files, in the order in which they were written.

    Raises:
        ImportError: if matplotlib isn't installed; the JSON is written.
        OSError: if a file can't be written.

    Example:

    >>> import tempfile
    >>> import numpy as np
    >>> from awd_keras.analysis import Gates, LayerAnalysis, Memory
    >>> from awd_keras.analysis import TextAnalysis, write_analysis
    >>> gates = Gates(*np.zeros((6, 1, 2, 3)))
    >>> memory = Memory(np.zeros((1, 2, 2)), np.zeros((1, 2)))
    >>> analysis = TextAnalysis(("a", "b"), (), (LayerAnalysis("lstm", gates, memory),))
    >>> [path.name for path in write_analysis(analysis, tempfile.mkdtemp())]
    ['lstm.json', 'lstm_gates.png', 'lstm_memory.png']
    """
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    words = list(map(label, analysis.words))
    figures, gates, memories = (
        [directory / f"{layer.name}{ending}" for layer in analysis.layers]
        for ending in (".json", "_gates.png", "_memory.png")
    )
    for path, layer in zip(figures, analysis.layers, strict=True):
        _write_json(path, layer, analysis.words)
    for path, layer in zip(gates, analysis.layers, strict=True):
        plot_gates(layer.gates, words, path)
    for path, layer in zip(memories, analysis.layers, strict=True):
        plot_memory(layer.memory, words, path)
    return [*figures, *gates, *memories]


def _write_json(path, layer, words):
    content = {
        "layer": layer.name,
        "words": words,
        "gates": {name: _numbers(array[0]) for name, array in layer.gates._asdict().items()},
        "memory": {name: _numbers(array[0]) for name, array in layer.memory._asdict().items()},
    }
    text = json.dumps(content, ensure_ascii=False) + "\n"
    write_whole(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def _numbers(array):
    return np.char.mod("%.6g", array).astype(float).tolist()

"""An analysis as files."""

import json
import os
import pathlib

import numpy as np

from awd_keras.analysis.plot_gates import plot_gates
from awd_keras.analysis.plot_memory import plot_memory
from awd_keras.analysis.text_analysis import TextAnalysis
from awd_keras.write_whole import write_whole


def write_analysis(analysis: TextAnalysis, directory: str | os.PathLike) -> list[pathlib.Path]:
    """Writes what `analyse` gives into a directory: the figures of each layer as JSON, and its pictures.

    For a layer named `lstm_0` these are

    - `lstm_0.json`, an object with the `"layer"`, the `"words"`, the `"gates"` (for each of i, f, o, content, c and h a
      list of time steps, each a list of units) and the `"memory"` (the reduced weights: of `"content"` a list of time
      steps, each a list of words, and of `"initial"` a list of time steps), to 6 significant digits;
    - `lstm_0_gates.png`, drawn by `plot_gates`;
    - `lstm_0_memory.png`, drawn by `plot_memory`.

    A file of this name that is there is replaced, whole.

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
    >>> from awd_keras.analysis import Gates, LayerAnalysis, Memory, TextAnalysis, write_analysis
    >>> gates, memory = Gates(*np.zeros((6, 1, 2, 3))), Memory(np.zeros((1, 2, 2)), np.zeros((1, 2)))
    >>> analysis = TextAnalysis(("a", "b"), (), (LayerAnalysis("lstm", gates, memory),))
    >>> [path.name for path in write_analysis(analysis, tempfile.mkdtemp())]
    ['lstm.json', 'lstm_gates.png', 'lstm_memory.png']
    """
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    figures, gates, memories = (
        [directory / f"{layer.name}{ending}" for layer in analysis.layers]
        for ending in (".json", "_gates.png", "_memory.png")
    )
    for path, layer in zip(figures, analysis.layers, strict=True):
        _write_json(path, layer, analysis.words)
    for path, layer in zip(gates, analysis.layers, strict=True):
        plot_gates(layer.gates, analysis.words, path)
    for path, layer in zip(memories, analysis.layers, strict=True):
        plot_memory(layer.memory, analysis.words, path)
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

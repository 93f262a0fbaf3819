"""What the LSTMs of a language model do with a text."""

import numpy as np

from awd_keras.analysis.gate_activations import gate_activations
from awd_keras.analysis.layer_analysis import LayerAnalysis
from awd_keras.analysis.memory_weights import memory_weights
from awd_keras.analysis.text_analysis import TextAnalysis
from awd_keras.data import UNK, Vocabulary
from awd_keras.data.words import WITH_UNK, split_words
from awd_keras.models import AWDLSTM


def analyse(model: AWDLSTM, vocabulary: Vocabulary, text: str) -> TextAnalysis:
    """The gates and the memory weights of each LSTM of a model that reads a text, from a zero state.

    The state that the model carries is neither read nor written.

    Args:
        model: a built `AWDLSTM`.
        vocabulary: the `Vocabulary` of the model.
        text: words with whitespace between; a newline is `<eos>`, a word that the vocabulary lacks is `<unk>`.

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
    >>> [(layer.name, layer.gates.f.shape, layer.memory.content.shape) for layer in found.layers]
    [('lstm_0', (1, 3, 8), (1, 3, 3)), ('lstm_1', (1, 3, 8), (1, 3, 3))]
    """
    if not isinstance(model, AWDLSTM) or not model.built:
        raise ValueError(f"Argument `model` must be an AWDLSTM that is built. Received: model={model!r}")
    if len(vocabulary) != model.vocabulary_size:
        raise ValueError(
            f"Argument `vocabulary` must have as many words as the model, {model.vocabulary_size}. "
            f"Received: vocabulary={vocabulary}"
        )
    given = split_words(text)
    if not given:
        raise ValueError(f"Argument `text` must have at least one word. Received: text={text!r}")
    unknown = tuple(dict.fromkeys(word for word in given if word not in vocabulary))
    if unknown and UNK not in vocabulary:
        listed = ", ".join(map(repr, unknown))
        raise ValueError(
            f"Argument `text` must be of words of the vocabulary, which has no {UNK} for others. Received: {listed}. "
            f"{WITH_UNK}"
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

"""A trained language model with another vocabulary."""

import numpy as np
from keras import ops

from awd_keras.checks import check_not_quantized
from awd_keras.data import Vocabulary
from awd_keras.inference import most_rows
from awd_keras.models.awd_lstm import AWDLSTM


def adapt_vocabulary(model: AWDLSTM, old: Vocabulary, new: Vocabulary) -> AWDLSTM:
    """Makes a model for another vocabulary out of a trained one.

    Words of both vocabularies keep their rows of the embedding and their biases. A new word begins with the mean over
    all old words. The LSTMs' weights are copied, and `model` isn't changed.

    Source: Howard and Ruder 2018, arXiv 1801.06146, section 3.2, where a model is trained further on the text of
    another task.

    Args:
        model: a built `AWDLSTM` with tied weights and `softmax="full"`.
        old: the `Vocabulary` of `model`.
        new: the `Vocabulary` of the new model.

    Returns:
        An `AWDLSTM` with all other settings of `model`, built for the same batch size. It isn't compiled.

    Raises:
        ValueError: if `model` isn't as above, `old` hasn't as many words, or the vocabularies have different units.

    Example:

    >>> from awd_keras.data import Vocabulary
    >>> from awd_keras.models import AWDLSTM, adapt_vocabulary
    >>> old = Vocabulary(["<unk>", "cat", "sat"])
    >>> new = Vocabulary(["sat", "dog", "cat", "<unk>"])
    >>> model = AWDLSTM(len(old), embedding_dim=4, hidden_units=8, num_layers=2)
    >>> model.build((1, None))
    >>> adapted = adapt_vocabulary(model, old, new)
    >>> table, other = model.embedding.get_weights()[0], adapted.embedding.get_weights()[0]
    >>> bool((other[new["cat"]] == table[old["cat"]]).all())
    True
    """
    if not isinstance(model, AWDLSTM) or model.softmax != "full" or not model.tie_weights:
        raise ValueError(f"Argument `model` must be an AWDLSTM of tied weights and softmax='full'. Received: {model=}")
    if not model.built:
        raise ValueError("Argument `model` must be built: call it on data, or `model.build((1, None))`.")
    check_not_quantized("model", model, "quantize the adapted model instead")
    if len(old) != model.vocabulary_size:
        raise ValueError(
            f"Argument `old` must be the model's vocabulary, of {model.vocabulary_size} words. "
            f"Received: {len(old)} words"
        )
    if old.unit != new.unit:
        raise ValueError(f"Argument `new` must be of the unit of `old`, {old.unit!r}. Received: one of {new.unit!r}")
    adapted = AWDLSTM.from_config({**model.get_config(), "vocabulary_size": len(new)})
    adapted.build((most_rows(model) or 1, None))
    both = [word for word in new if word in old]
    here, there = ([vocabulary[word] for word in both] for vocabulary in (new, old))
    for name in ("embeddings", "bias"):  # with LoRA, the table that it adds to is in `embeddings` too
        variable, rows = getattr(adapted.embedding, name), ops.convert_to_numpy(getattr(model.embedding, name))
        values = np.empty((len(new), *rows.shape[1:]), rows.dtype)
        values[:] = rows.mean(axis=0, dtype="float64")
        values[here] = rows[there]
        variable.assign(values)
    for lstm, source in zip(adapted.lstms, model.lstms, strict=True):
        lstm.set_weights(source.get_weights())
    return adapted

"""Batches of texts with labels."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from awd_keras.checks import check_positive_integer
from awd_keras.data.own_tokens import Tokenizer
from awd_keras.data.vocabulary import Vocabulary

# The padding that `awd_keras.models.TextClassifier` expects.
PADDING = -1


class TextDataset(keras.utils.PyDataset):
    """Batches of texts of about the same length, with labels, for a `TextClassifier`.

    A batch is a pair of int32 arrays, ids (texts, tokens) and labels (texts,), or the ids alone where there are no
    labels. Texts are sorted by length, so that a batch has little padding (-1). The batch of the longest texts comes
    first, so that a lack of memory shows at once; the others follow from the shortest on. `fit` shuffles the batches
    unless `shuffle=False`. A batch is as long as its longest text, rounded up to a multiple of `length_multiple`, so
    that a model is compiled for few shapes.

    Args:
        texts: sequence of texts. Each is a string, which the vocabulary cuts, or an iterable of words.
        labels: integers of at least 0, one for each text; None for texts that are to be classified.
        vocabulary: `Vocabulary` of the language model, or a tokenizer that `Vocabulary.of` takes.
        batch_size: positive integer, the number of texts in a batch; the last one may have fewer.
        max_tokens: positive integer. Of longer texts, the last `max_tokens` tokens are kept; None keeps all.
        length_multiple: positive integer; see above.

    Attributes:
        order: integer array (texts,): for each row, batch after batch, the position of its text in `texts`.

    Raises:
        ValueError: if there is no text, a text has no word, `labels` isn't of that length or isn't of such integers, a
            word is unknown to a vocabulary without `<unk>`, or another argument is out of its range.

    Example:

    >>> from awd_keras.data import TextDataset, Vocabulary
    >>> vocabulary = Vocabulary(["<unk>", "a", "good", "film"])
    >>> dataset = TextDataset(
    ...     ["a film", "good", "a good film"], [0, 1, 1], vocabulary, 2, length_multiple=1
    ... )
    >>> ids, labels = dataset[0]
    >>> ids.tolist(), labels.tolist()
    ([[1, 3, -1], [1, 2, 3]], [0, 1])
    >>> dataset.in_order_of_texts([[0.1], [0.2], [0.3]])
    array([[0.1],
           [0.3],
           [0.2]])
    """

    def __init__(
        self,
        texts: Sequence[str | Iterable[str]],
        labels: Sequence[int] | np.ndarray | None,
        vocabulary: Vocabulary | Tokenizer,
        batch_size: int,
        max_tokens: int | None = None,
        length_multiple: int = 32,
    ):
        super().__init__()
        check_positive_integer("batch_size", batch_size)
        check_positive_integer("length_multiple", length_multiple)
        if max_tokens is not None:
            check_positive_integer("max_tokens", max_tokens)
        if isinstance(texts, str) or not len(texts):
            raise ValueError(f"Argument `texts` must be a sequence of texts. Received: texts={texts!r}")
        vocabulary = Vocabulary.of(vocabulary)
        self.batch_size = batch_size
        self.length_multiple = length_multiple
        self._ids = []
        for number, text in enumerate(texts):
            ids = vocabulary.encode(vocabulary.cut(text) if isinstance(text, str) else text)
            if not len(ids):
                raise ValueError(
                    f"Argument `texts` must hold texts of at least one word. Received: texts[{number}]={text!r}"
                )
            self._ids.append(ids if max_tokens is None else ids[-max_tokens:])
        self.labels = None if labels is None else _check_labels(labels, len(texts))
        by_length = np.argsort([len(ids) for ids in self._ids], kind="stable")
        # Keras infers TensorFlow's shapes from the first two batches. As these are the longest and the shortest texts,
        # they have one length only if all batches have it.
        longest = by_length[-batch_size:]
        self.order = np.concatenate([longest, by_length[: len(by_length) - len(longest)]])

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch_size)

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"Batch {index} is outside of the dataset's {len(self)} batches")
        places = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        length = max(len(self._ids[place]) for place in places)
        length += -length % self.length_multiple
        ids = np.full((len(places), length), PADDING, "int32")
        for row, place in enumerate(places):
            ids[row, : len(self._ids[place])] = self._ids[place]
        return (ids,) if self.labels is None else (ids, self.labels[places])

    def in_order_of_texts(self, predictions: Any) -> np.ndarray:
        """Returns a model's predictions in the order of `texts`.

        Args:
            predictions: array (texts, ...), as `predict(dataset)` returns it.

        Raises:
            ValueError: if `predictions` hasn't a row for each text.
        """
        predictions = np.asarray(predictions)
        if predictions.shape[:1] != self.order.shape:
            raise ValueError(
                f"Argument `predictions` must have {len(self.order)} rows, one for each text. Received: "
                f"shape={predictions.shape}"
            )
        ordered = np.empty_like(predictions)
        ordered[self.order] = predictions
        return ordered


def _check_labels(labels, count):
    labels = np.asarray(labels)
    if labels.shape != (count,):
        raise ValueError(f"Argument `labels` must hold one label for each of {count} texts. Received: {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= 2**31:
        raise ValueError(
            "Argument `labels` must hold integers of at least 0 that int32 can hold. "
            f"Received: {labels[0]!r} and others of {labels.dtype}"
        )
    return labels.astype("int32")

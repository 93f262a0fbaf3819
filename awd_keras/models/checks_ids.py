"""A model that looks at the ids which it is given."""

from typing import Any

import keras
import numpy as np

from awd_keras.checks import check_integers


class ChecksIds(keras.Model):
    """A `keras.Model` of ids and targets that are ids, which must be of its vocabulary, `vocabulary_size`."""

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        self._check_ids(x, y)
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        self._check_ids(x, y)
        return super().evaluate(x, y, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        self._check_ids(x)
        return super().predict(x, *args, **kwargs)

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        self._check_ids(x, y)
        return super().train_on_batch(x, y, *args, **kwargs)

    def test_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        self._check_ids(x, y)
        return super().test_on_batch(x, y, *args, **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        self._check_ids(x)
        return super().predict_on_batch(x)

    def _check_ids(self, x, y=None):
        # Compiled code can't raise: JAX would look up NaN, XLA another word.
        for name, values in (("x", x), ("y", y)):
            ids = getattr(values, "tokens", values)
            if not isinstance(ids, np.ndarray) or ids.size == 0:
                continue
            check_integers(name, ids)
            for value in (ids.min(), ids.max()):
                if not 0 <= value < self.vocabulary_size:
                    raise ValueError(
                        f"Argument `{name}` must hold token ids in [0, {self.vocabulary_size}), the vocabulary. "
                        f"Received: {value}"
                    )

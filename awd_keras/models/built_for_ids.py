"""A base of models that are built for ids, whatever Keras says that they are."""

from collections.abc import Iterable
from typing import Any

import keras

from awd_keras.backend.keras_private import SymbolicallyBuilt, has_strategy
from awd_keras.inference import most_rows


class BuiltForIds(SymbolicallyBuilt):
    """A `keras.Model` of ids and targets that are ids.

    On TensorFlow, Keras builds a model within the compiled step, where the size of a batch isn't known as soon as two
    batches differ, the last one for example. Here it is built for the first batch, on several devices for what the
    first of them has.
    """

    def fit(self, x: Any = None, y: Any = None, batch_size: int | None = None, *args: Any, **kwargs: Any) -> Any:
        # Where `fit` splits the rows, a batch may have fewer than there are in all.
        x = self._build_for(x, batch_size, check=not kwargs.get("validation_split"))
        return super().fit(x, y, batch_size, *args, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, batch_size: int | None = None, *args: Any, **kwargs: Any) -> Any:
        x = self._build_for(x, batch_size)
        return super().evaluate(x, y, batch_size, *args, **kwargs)

    def predict(self, x: Any, batch_size: int | None = None, *args: Any, **kwargs: Any) -> Any:
        x = self._build_for(x, batch_size)
        return super().predict(x, batch_size, *args, **kwargs)

    def _build_for(self, x, batch_size, check=True):
        """Builds the model for the data's first batch, if it isn't yet, and returns the data."""
        if has_strategy(self):
            return x
        if getattr(x, "shape", ()):
            shape = (min(x.shape[0], batch_size or 32), *x.shape[1:])  # 32 is Keras's default
        elif self.built or hasattr(x, "shape") or not isinstance(x, Iterable):
            return x
        else:
            batch, x = _first_batch(x)
            ids, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
            shape = getattr(ids, "shape", ())
        if self.built and check:
            self._check_batch_size(shape[0])
        elif not self.built and len(shape) == 2:  # Keras refuses others when the model is called.
            self.build((shape[0], None))
        return x

    def _check_batch_size(self, rows):
        # Before the layers do: in TensorFlow's compiled code, no size is known, and the error names none.
        most = most_rows(self)
        if most is not None and rows > most:
            raise ValueError(
                f"Argument `batch_size` must be at most the one that the model was built for, {most}. Build a model "
                f"for its largest batch, by `model.build(({rows}, None))`. Received: batches of {rows} rows"
            )


def _first_batch(data):
    """The first batch, and the data as they were: a generator goes on where it is."""
    if isinstance(data, keras.utils.PyDataset):
        return data[0], data
    batches = iter(data)
    batch = next(batches, None)
    return batch, _chained(batch, batches) if batches is data else data


def _chained(first, others):
    # Keras wants a generator, not any iterator.
    yield first
    yield from others

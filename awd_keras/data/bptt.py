"""Windows of a text for truncated backpropagation through time."""

import copy

import keras
import numpy as np

from awd_keras.backend.keras_private import InOrder
from awd_keras.checks import check_boolean, check_not_negative_integer, check_positive_integer
from awd_keras.data.window_lengths import AnyLengths, FewLengths, FixedLengths


class BPTTDataset(keras.utils.PyDataset, InOrder):
    """A text cut in windows of random lengths, for a model that carries its state.

    The text is cut into `batch_size` rows (streams) of `n = (len(tokens) - 1) // batch_size`
    targets, and each row into consecutive windows. Item i holds, for each row, the tokens
    `x[s:e]` and their targets `y[s:e] = x[s + 1:e + 1]`. Every target comes exactly once an
    epoch. The lengths of the windows are drawn anew for each epoch:

        base = bptt with probability 0.95, else bptt / 2
        length = min(max(5, N(base, 5)), bptt + 20)

    so that no token is always at a window's edge, where backpropagation ends. Keras reads the
    number of windows once, so it is the same in every epoch. If the drawn lengths don't add up to
    n, randomly chosen windows get one token more or less. Lengths depend only on `seed` and
    `epoch`.

    `fit` counts the epochs: `dataset.epoch` goes up by one after each. To set it, after a restart
    for example, call `set_epoch`. `fit` keeps the windows in order, whatever its argument
    `shuffle`.

    An epoch of the dataset is a pass over the text. With `fit(steps_per_epoch=k)`, an epoch of `fit` takes the next
    k windows. The last epoch of a pass takes what is left, about which Keras warns. The dataset then counts passes.
    `evaluate` and `validation_data` need a dataset of their own, as reading this one to its end counts as a pass.

    With `length_multiple=m` above 1, there are only a few lengths, as JAX and XLA compile each length. These are
    `2k + 1` multiples of m around `bptt` (k is 10 / m rounded down, at least 1), one multiple for its half, and the
    length of one window, at a random place, that makes the sum n. That length is the same in every epoch. `bptt=70` and
    `length_multiple=7` leave at most five: 35, 63, 70, 77, and that one. Their mean and deviation are 68.2 and 9.0,
    where windows of any length have 68.25 and 9.1. So that window edges still fall on every token, the text is read as
    a ring. In each epoch, the first row begins at another random one of the first n tokens, and the last row ends
    before it. `AWDLSTM.length_multiple` gives the number that suits a model.

    Source: section 4.1, "Variable length backpropagation sequences".

    Args:
        tokens: 1-D array of integers, the word ids of the text; at least `batch_size + 1`.
        batch_size: positive integer, the number of rows.
        bptt: positive integer, the usual window length in tokens.
        variable: boolean, whether lengths vary as above. If not, each window has `bptt` tokens,
            except the last where n isn't a multiple of it.
        seed: integer of at least 0, the seed of the lengths.
        length_multiple: integer in [1, bptt / 2], or 1; above 1 it needs `variable=True`. 1 is for windows of any
            length.
        backwards: boolean, whether the text is read from its end, for a language model that predicts the previous word.

    Raises:
        ValueError: if `tokens` aren't integers, an argument is out of its range, or the text too short for one window.

    Example:

    >>> import numpy as np
    >>> from awd_keras.data import BPTTDataset
    >>> dataset = BPTTDataset(np.arange(1001), batch_size=2, bptt=20, seed=1)
    >>> x, y = dataset[0]
    >>> x.shape == y.shape == (2, dataset.window_lengths()[0])
    True
    >>> x[:, :3].tolist(), y[:, :3].tolist()
    ([[0, 1, 2], [500, 501, 502]], [[1, 2, 3], [501, 502, 503]])
    >>> [int(dataset.window_lengths(epoch).sum()) for epoch in range(3)]
    [500, 500, 500]
    """

    # No argument for Keras's `workers`: cutting a slice takes no time, and a worker process couldn't tell when an epoch
    # is over.
    def __init__(
        self,
        tokens: np.ndarray,
        batch_size: int,
        bptt: int = 70,
        variable: bool = True,
        seed: int = 0,
        length_multiple: int = 1,
        backwards: bool = False,
    ):
        super().__init__()
        check_positive_integer("batch_size", batch_size)
        check_positive_integer("bptt", bptt)
        check_not_negative_integer("seed", seed)
        check_boolean("variable", variable)
        check_boolean("backwards", backwards)
        tokens = _check_tokens(tokens)
        tokens = tokens[::-1] if backwards else tokens  # a view, as the tokens may be a file
        n = (len(tokens) - 1) // batch_size
        check_positive_integer("length_multiple", length_multiple)
        if length_multiple > 1 and not variable:
            raise ValueError(f"Argument `length_multiple` must be 1 if `variable=False`. Received: {length_multiple=}")
        if length_multiple > max(1, bptt // 2):
            raise ValueError(
                f"Argument `length_multiple` must be at most half of `bptt`. Received: {length_multiple=} with {bptt=}"
            )
        self.batch_size = batch_size
        self.bptt = bptt
        self.variable = variable
        self.backwards = backwards
        self.seed = seed
        self.length_multiple = length_multiple
        self.epoch = 0
        self.num_shards = 1
        if n <= 0:
            raise ValueError(
                "Argument `tokens` must hold more tokens than `batch_size`: this is too short for "
                f"one window. Received: {len(tokens)} tokens with {batch_size=}"
            )
        self.tokens = tokens
        # The number of all targets, and the position where each row begins.
        self._places = n * batch_size
        self._rows = np.arange(batch_size)[:, None] * n
        self._lengths: FixedLengths | AnyLengths | FewLengths
        if not variable:
            self._lengths = FixedLengths(n, bptt)
        elif length_multiple == 1:
            self._lengths = AnyLengths(n, bptt)
        else:
            self._lengths = FewLengths(n, bptt, length_multiple)
        self._cached = (-1, np.zeros(1, "int64"))
        self._in_epoch = False
        self._last_was_read = False

    def __len__(self) -> int:
        return self._lengths.count

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if not 0 <= index < len(self):
            raise IndexError(f"Window {index} is outside of the dataset's {len(self)} windows")
        if index == len(self) - 1:
            self._last_was_read = self._in_epoch
        # Both read in one statement, as Keras may call this in another thread.
        epoch, edges = self._cached
        if epoch != self.epoch:
            epoch = self.epoch
            first, lengths = self._draw(epoch)
            edges = first + np.concatenate([[0], np.cumsum(lengths)])
            self._cached = (epoch, edges)
        places = (self._rows + np.arange(*edges[index : index + 2])) % self._places
        return self.tokens[places], self.tokens[places + 1]

    def window_lengths(self, epoch: int | None = None) -> np.ndarray:
        """The lengths of an epoch's windows, in tokens.

        Args:
            epoch: integer of at least 0; the current epoch by default.

        Returns:
            int64 array of shape (number of windows,).
        """
        epoch = self.epoch if epoch is None else epoch
        check_not_negative_integer("epoch", epoch)
        return self._draw(epoch)[1]

    def window_starts(self, epoch: int | None = None) -> np.ndarray:
        """The position in each row, from 0, at which each window of an epoch begins.

        Args:
            epoch: integer of at least 0; the current epoch by default.

        Returns:
            int64 array of shape (number of windows,).
        """
        epoch = self.epoch if epoch is None else epoch
        check_not_negative_integer("epoch", epoch)
        first, lengths = self._draw(epoch)
        return (first + np.cumsum(lengths) - lengths) % np.sum(lengths)

    def _draw(self, epoch):
        return self._lengths.draw(np.random.default_rng([self.seed, epoch]))

    def shard(self, num_shards: int, index: int) -> "BPTTDataset":
        """The same windows with a part of the rows, for one of several processes that train together.

        Args:
            num_shards: positive integer, the number of parts, which must divide `batch_size`.
            index: integer in [0, num_shards), the part.

        Returns:
            A `BPTTDataset` of `batch_size // num_shards` rows, which counts its own epochs.
        """
        check_positive_integer("num_shards", num_shards)
        check_not_negative_integer("index", index)
        if self.batch_size % num_shards:
            raise ValueError(
                f"Argument `num_shards` must divide the dataset's rows, its `batch_size`. Received: {num_shards=} "
                f"with batch_size={self.batch_size}"
            )
        if index >= num_shards:
            raise ValueError(f"Argument `index` must be below `num_shards`. Received: {index=} with {num_shards=}")
        part = copy.copy(self)
        part.num_shards = self.num_shards * num_shards
        part.batch_size = self.batch_size // num_shards
        part._rows = self._rows[index * part.batch_size : (index + 1) * part.batch_size]
        return part

    def set_epoch(self, epoch: int) -> None:
        """Makes `epoch` the current one, which decides the lengths.

        Args:
            epoch: integer of at least 0.
        """
        check_not_negative_integer("epoch", epoch)
        self.epoch = int(epoch)
        self._in_epoch = self._last_was_read = False

    @property
    def in_epoch(self) -> bool:
        """Whether Keras has begun to read the epoch, and not ended it."""
        return self._in_epoch

    def on_epoch_begin(self):
        """Called by Keras."""
        self._in_epoch = True

    def on_epoch_end(self):
        """Called by Keras; goes to the next epoch if the current one was read to its end."""
        # Keras also calls this before the first epoch, and may have read a batch by then to build the model. So an
        # epoch has ended only if its last window was read.
        if self._last_was_read:
            self.epoch += 1
            self._in_epoch = self._last_was_read = False


def _check_tokens(tokens):
    tokens = np.asarray(tokens)
    if tokens.ndim != 1:
        raise ValueError(f"Argument `tokens` must have one dimension. Received: shape={tokens.shape}")
    if not np.issubdtype(tokens.dtype, np.integer):
        raise ValueError(f"Argument `tokens` must hold integers. Received: dtype={tokens.dtype}")
    if len(tokens) and not 0 <= tokens.min() <= tokens.max() < 2**31:
        raise ValueError(
            "Argument `tokens` must hold word ids in [0, 2**31). "
            f"Received: values from {tokens.min()} to {tokens.max()}"
        )
    # No copy, as they may be a file larger than memory.
    return tokens.astype("int32", copy=False)

"""Windows of a text for truncated backpropagation through time."""

import copy
import math
from statistics import NormalDist

import keras
import numpy as np

from awd_keras import backend
from awd_keras.backend.in_order import InOrder
from awd_keras.checks import check_boolean, check_not_negative_integer, check_positive_integer

# The paper's numbers: a length is normal around `bptt`, or, rarely, around half of it.
_HALF_PROBABILITY = 0.05
_DEVIATION = 5.0
_SHORTEST = 5
_LONGEST_OVER = 20


class BPTTDataset(keras.utils.PyDataset, InOrder):
    """A text cut in windows of random lengths, for a model that carries its state.

    The text is cut in `batch_size` rows (streams) of `n = (len(tokens) - 1) // batch_size`
    targets, and the rows in windows one after the other: item i holds, for each row, the tokens
    `x[s:e]` and the ones that follow them, `y[s:e] = x[s + 1:e + 1]`. Every target comes exactly
    once an epoch. A window's length is drawn afresh each epoch:

        base = bptt with probability 0.95, else bptt / 2
        length = min(max(5, N(base, 5)), bptt + 20)

    so that no token is always at a window's edge, where backpropagation ends. As Keras reads
    the number of windows once, it is the same every epoch; where the drawn lengths don't add up to
    n, as many windows as needed, picked at random, give or take a token each. Lengths depend on
    `seed` and `epoch` alone.

    `fit` counts the epochs: `dataset.epoch` goes up by one after each. Whoever knows the
    epoch better, after a restart for example, says so by `set_epoch`. `fit` keeps the windows in
    order, whatever its argument `shuffle`.

    An epoch of the dataset is a pass over the text. With `fit(steps_per_epoch=k)`, an epoch of `fit` takes the next
    k windows, and the last one of a pass what is left, about which Keras warns. The dataset then counts passes, and
    `evaluate` and `validation_data` need a dataset of their own, as reading this one to its end counts as a pass.

    With `length_multiple=m`, lengths are multiples of m, which bounds the number of programs that
    a compiler has to make: by default at most 12 an epoch where every length costs one. Only the
    first window (m plus a random phase, so that window edges still fall on every token) and the
    last (what remains) differ, both in [m, 2m) if m >= 5. With `e` and `h` the least multiple of m
    from 5 on and the greatest up to bptt + 20, an epoch has at most `(h - e) / m + 3` lengths, and
    all epochs together `(h - e) / m + m`: 11 and 18 for bptt 70 and m 10.

    Source: section 4.1, "Variable length backpropagation sequences".

    Args:
        tokens: 1-D array of integers, the word ids of the text; at least `batch_size + 1`.
        batch_size: positive integer, the number of rows.
        bptt: positive integer, the usual window length in tokens.
        variable: boolean, whether lengths vary as above. If not, each window has `bptt` tokens,
            except the last where n isn't a multiple of it.
        seed: integer of at least 0, the seed of the lengths.
        length_multiple: integer in [1, bptt / 2], or 1; above 1 it needs `variable=True`. By default 1 on PyTorch, for
            a text of ten windows or fewer, and without `variable`; else 10, or half of a `bptt` below 20, or a tenth
            of `bptt + 20` where that is more. On TensorFlow, a model that is compiled with `jit_compile=False` can as
            well have 1.

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

    # Keras's `workers` aren't offered: cutting a slice takes no time, and a worker process couldn't
    # tell when an epoch is over.
    def __init__(
        self,
        tokens: np.ndarray,
        batch_size: int,
        bptt: int = 70,
        variable: bool = True,
        seed: int = 0,
        length_multiple: int | None = None,
    ):
        super().__init__()
        check_positive_integer("batch_size", batch_size)
        check_positive_integer("bptt", bptt)
        check_not_negative_integer("seed", seed)
        check_boolean("variable", variable)
        tokens = _check_tokens(tokens)
        n = (len(tokens) - 1) // batch_size
        if length_multiple is None:
            length_multiple = _length_multiple(n, bptt) if variable else 1
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
        self._n = n
        self._x = tokens[: n * batch_size].reshape(batch_size, n)
        self._y = tokens[1 : n * batch_size + 1].reshape(batch_size, n)
        # The least and greatest length, `length_multiple` considered.
        self._low = min(n, math.ceil(_SHORTEST / length_multiple) * length_multiple)
        self._high = (bptt + _LONGEST_OVER) // length_multiple * length_multiple
        self._num_windows = self._count_windows()
        self._cached = (-1, np.zeros(1, "int64"))
        self._in_epoch = False
        self._last_was_read = False

    def __len__(self) -> int:
        return self._num_windows

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if not 0 <= index < len(self):
            raise IndexError(f"Window {index} is outside of the dataset's {len(self)} windows")
        if index == len(self) - 1:
            self._last_was_read = self._in_epoch
        # Taken at once, as Keras may call this in a thread of its own.
        epoch, edges = self._cached
        if epoch != self.epoch:
            epoch = self.epoch
            edges = np.concatenate([[0], np.cumsum(self.window_lengths(epoch))])
            self._cached = (epoch, edges)
        start, end = edges[index : index + 2]
        return self._x[:, start:end].copy(), self._y[:, start:end].copy()

    def window_lengths(self, epoch: int | None = None) -> np.ndarray:
        """The lengths of an epoch's windows, in tokens.

        Args:
            epoch: integer of at least 0; the current epoch by default.

        Returns:
            int64 array of shape (number of windows,).
        """
        epoch = self.epoch if epoch is None else epoch
        check_not_negative_integer("epoch", epoch)
        if not self.variable:
            rest = self._n % self.bptt
            return np.array([self.bptt] * (self._n // self.bptt) + [rest] * (rest > 0))
        rng = np.random.default_rng([self.seed, epoch])
        if self.length_multiple == 1:
            return self._draw(rng, self._num_windows, self._n)
        phase = int(rng.integers(self.length_multiple))
        first = self._low + phase
        last = self._low + (self._n - first - self._low) % self.length_multiple
        middle = self._draw(rng, self._num_windows - 2, self._n - first - last)
        return np.array([first, *middle, last])

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
        rows = slice(index * part.batch_size, (index + 1) * part.batch_size)
        part._x, part._y = self._x[rows], self._y[rows]
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
        # Keras calls this once too often before the first epoch, and if it has to build the model
        # it reads a batch before that: what shows an epoch is that its last window was read.
        if self._last_was_read:
            self.epoch += 1
            self._in_epoch = self._last_was_read = False

    def _count_windows(self):
        """The number of windows that n targets make, such that each epoch's lengths can fit."""
        if not self.variable:
            return math.ceil(self._n / self.bptt)
        edges, slack = 0, 0
        if self.length_multiple > 1:
            # The first and the last window have from 2 * low to 2 * low + slack tokens together.
            edges, slack = 2, 2 * (self.length_multiple - 1)
        n = self._n - edges * self._low
        least = math.ceil(n / self._high)
        most = (n - slack) // self._low
        if not 1 <= least <= most:
            raise ValueError(
                "Argument `length_multiple` must be smaller for so short a text. Received: "
                f"length_multiple={self.length_multiple} with {self._n} targets a row"
            )
        mean = 0.0
        weights = ((1 - _HALF_PROBABILITY, self.bptt), (_HALF_PROBABILITY, self.bptt / 2))
        for weight, base in weights:
            mean += weight * _clipped_mean(base, self._low, self._high)
        return edges + min(max(round((n - slack / 2) / mean), least), most)

    def _draw(self, rng, count, total):
        """`count` random lengths in [low, high], multiples of `length_multiple`, of sum `total`."""
        step = self.length_multiple
        base = np.where(rng.random(count) < _HALF_PROBABILITY, self.bptt / 2, self.bptt)
        lengths = np.rint(rng.normal(base, _DEVIATION) / step).astype("int64") * step
        lengths = np.clip(lengths, self._low, self._high)
        while lack := total - int(lengths.sum()):
            change = step if lack > 0 else -step
            bound = self._high if lack > 0 else self._low
            windows = rng.permutation(count)
            windows = windows[lengths[windows] != bound][: abs(lack) // step]
            lengths[windows] += change
        return lengths


def _length_multiple(n, bptt):
    """The default for rows of n targets, with which an epoch has at most 12 lengths if `bptt` is 4 or more."""
    # Models are compiled with "auto" unless their `compile` says otherwise.
    if not backend.compiles_each_length("auto") or n <= 10 * bptt:
        return 1
    return min(max(10, math.ceil((bptt + _LONGEST_OVER) / 10)), max(1, bptt // 2))


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


def _clipped_mean(base, low, high):
    """The mean of `clip(N(base, 5), low, high)`."""
    normal = NormalDist(base, _DEVIATION)
    below, above = normal.cdf(low), 1 - normal.cdf(high)
    edges = normal.pdf(low) - normal.pdf(high)
    return low * below + high * above + base * (1 - below - above) + _DEVIATION**2 * edges

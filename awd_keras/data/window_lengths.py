"""The lengths of the windows that a text is cut in, epoch by epoch."""

import math
from statistics import NormalDist

import numpy as np

# The paper's numbers: a length is normal around `bptt`, or, rarely, around half of it.
_HALF_PROBABILITY = 0.05
_DEVIATION = 5.0
_SHORTEST = 5
_LONGEST_OVER = 20


class FixedLengths:
    """Windows of `bptt` tokens, and a last one of what remains.

    Args:
        n: the number of tokens in a row.
        bptt: the window length.
    """

    def __init__(self, n, bptt):
        rest = n % bptt
        self._lengths = np.array([bptt] * (n // bptt) + [rest] * (rest > 0))
        self.count = len(self._lengths)

    def draw(self, rng):
        """The position at which the first row begins, and the windows' lengths. What is random is drawn from `rng`."""
        return 0, self._lengths.copy()


class AnyLengths:
    """Windows of any length, as in the paper. Some get one token more or less than drawn, so that the sum is n.

    Args:
        n: the number of tokens in a row.
        bptt: the usual window length.
    """

    def __init__(self, n, bptt):
        self._n = n
        self._bptt = bptt
        self._low, self._high = min(n, _SHORTEST), bptt + _LONGEST_OVER
        least, most = math.ceil(n / self._high), n // self._low
        mean = 0.0
        weights = ((1 - _HALF_PROBABILITY, bptt), (_HALF_PROBABILITY, bptt / 2))
        for weight, base in weights:
            mean += weight * _clipped_mean(base, self._low, self._high)
        self.count = min(max(round(n / mean), least), most)

    def draw(self, rng):
        """As `FixedLengths.draw`."""
        base = np.where(rng.random(self.count) < _HALF_PROBABILITY, self._bptt / 2, self._bptt)
        lengths = np.rint(rng.normal(base, _DEVIATION)).astype("int64")
        lengths = np.clip(lengths, self._low, self._high)
        while lack := self._n - int(lengths.sum()):
            bound = self._high if lack > 0 else self._low
            windows = rng.permutation(self.count)
            windows = windows[lengths[windows] != bound][: abs(lack)]
            lengths[windows] += 1 if lack > 0 else -1
        return 0, lengths


class FewLengths:
    """Windows of a few lengths, the same in every epoch, for models that are compiled for each length.

    They are multiples of m: some around `bptt`, and one for its half. One window, at a random place, has the length
    that makes the sum n; it is the same in each epoch. So that window edges fall on every token, the text is read as a
    ring, and the first row begins at a random token.

    Args:
        n: the number of tokens in a row.
        bptt: the usual window length.
        multiple: m.
    """

    def __init__(self, n, bptt, multiple):
        self._n = n
        self._multiple = multiple
        low = math.ceil(_SHORTEST / multiple) * multiple
        high = (bptt + _LONGEST_OVER) // multiple * multiple
        # To twice the deviation, which m may exceed.
        reach = max(1, int(2 * _DEVIATION) // multiple)
        steps = np.arange(-reach, reach + 1)
        self._around_bptt = np.clip((round(bptt / multiple) + steps) * multiple, low, high)
        self._half = int(np.clip(round(bptt / 2 / multiple) * multiple, low, high))
        above = [1 - NormalDist(0, _DEVIATION).cdf((step - 0.5) * multiple) for step in steps[1:]]
        self._probabilities = -np.diff([1, *above, 0])
        mean = (1 - _HALF_PROBABILITY) * self._around_bptt @ self._probabilities + _HALF_PROBABILITY * self._half
        self._rest, self._others = self._split(n, bptt, mean)
        self._sum = n - self._rest
        self.count = 1 + self._others

    def _split(self, n, bptt, mean):
        """The length of the window that makes the sum n, and the number of others."""
        shortest, longest = self._around_bptt[[0, -1]]
        best = []
        for rest in range(_SHORTEST if n > _SHORTEST else n, min(n, bptt + _LONGEST_OVER) + 1):
            others = n - rest
            # The number of windows whose mean comes nearest to `mean`, if windows of this multiple can have this sum.
            count = max(round(others / mean), math.ceil(others / longest))
            if others % self._multiple or not count * shortest <= others:
                continue
            # How far all windows together are from their usual lengths, in tokens. Half a token of the mean is ignored.
            off = max(0.0, abs(others / count - mean) - 0.5) * count if count else 0.0
            best.append((off + abs(rest - bptt), rest, count))
        return min(best)[1:]

    def draw(self, rng):
        """As `FixedLengths.draw`."""
        first = int(rng.integers(self._n))
        is_half = rng.random(self._others) < _HALF_PROBABILITY
        lengths = rng.choice(self._around_bptt, self._others, p=self._probabilities)
        lengths[is_half] = self._half
        while lack := self._sum - int(lengths.sum()):
            bound = self._around_bptt[-1 if lack > 0 else 0]
            windows = rng.permutation(self._others)
            windows = windows[~is_half[windows] & (lengths[windows] != bound)][: abs(lack) // self._multiple]
            lengths[windows] += self._multiple if lack > 0 else -self._multiple
            if len(windows) == 0:
                # All windows around `bptt` are at the bound: one of the short windows becomes one of them.
                window = rng.choice(np.flatnonzero(is_half))
                is_half[window], lengths[window] = False, self._around_bptt[0]
        return first, np.insert(lengths, rng.integers(self.count), self._rest)


def few_lengths_multiple(bptt: int) -> int:
    """The `length_multiple` with the fewest lengths whose mean and deviation are still the paper's: 7 for 70.

    Args:
        bptt: positive integer, the usual window length.

    Returns:
        An integer that leaves at most five lengths, all epochs together, where `bptt` is 6 or more.
    """
    # From here on there are three lengths around `bptt`, whose deviation 7 makes 4.9, and 10 makes 5.6.
    candidates = range(6, min(10, bptt // 2) + 1)

    def deviations(multiple):
        usual, half = (abs(round(base / multiple) * multiple - base) for base in (bptt, bptt / 2))
        return (1 - _HALF_PROBABILITY) * usual + _HALF_PROBABILITY * half, abs(multiple - 7)

    return min(candidates, key=deviations, default=max(1, bptt // 2))


def _clipped_mean(base, low, high):
    """The mean of `clip(N(base, 5), low, high)`."""
    normal = NormalDist(base, _DEVIATION)
    below, above = normal.cdf(low), 1 - normal.cdf(high)
    edges = normal.pdf(low) - normal.pdf(high)
    return low * below + high * above + base * (1 - below - above) + _DEVIATION**2 * edges

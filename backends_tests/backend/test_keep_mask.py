import keras
import numpy as np
import pytest

from awd_keras import backend


def mask(shape, rate, seed=1):
    keep = backend.keep_mask(shape, rate, keras.random.SeedGenerator(seed).next())
    return keras.ops.convert_to_numpy(keep)


@pytest.mark.parametrize("shape", [(1,), (3,), (5, 7), (2, 3, 5)])
def test_shape_and_dtype(shape):
    keep = mask(shape, 0.5)
    assert keep.shape == shape
    assert keep.dtype == bool


@pytest.mark.parametrize("rate", [1e-3, 1 / 256, 0.1, 0.25, 1 / 3, 0.5, 0.9, 0.999])
def test_rate(rate):
    dropped = ~mask((1000, 1003), rate)
    assert abs(dropped.mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / dropped.size)


def test_rates_next_to_one_and_zero():
    assert not mask((1000,), 1 - 1e-9).all()
    assert mask((1000,), 1e-9).all()


def test_neighbours_are_independent():
    """Several elements come from one random number, and must be independent of each other."""
    count = 400_000
    for rate in (0.5, 0.4):  # 8 bits, 16 bits
        dropped = (~mask((count,), rate)).astype("float64") - rate
        variance = rate * (1 - rate)
        for lag in (*range(1, 9), count // 4, count // 2):
            correlation = np.mean(dropped[lag:] * dropped[:-lag]) / variance
            assert abs(correlation) < 5 / np.sqrt(count - lag)
        for position in range(4):
            for part in (dropped[position::4], np.split(dropped, 4)[position]):
                assert abs(part.mean()) < 5 * np.sqrt(variance / len(part))


def test_draws_differ_and_repeat():
    generator, same = keras.random.SeedGenerator(3), keras.random.SeedGenerator(3)
    draws = [keras.ops.convert_to_numpy(backend.keep_mask((64,), 0.5, generator.next())) for _ in range(3)]
    again = [keras.ops.convert_to_numpy(backend.keep_mask((64,), 0.5, same.next())) for _ in range(3)]
    np.testing.assert_array_equal(draws, again)
    assert len({draw.tobytes() for draw in draws}) == 3

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from awd_keras.data import BPTTDataset
from awd_keras.data.window_lengths import few_lengths_multiple

pytestmark = pytest.mark.once

SIZES = {
    "size": st.integers(2, 3000),
    "batch_size": st.integers(1, 30),
    "bptt": st.integers(1, 90),
    "seed": st.integers(0, 2**40),
}


def first_epochs(dataset, count=4):
    return [dataset.window_lengths(epoch) for epoch in range(count)]


def check_epoch(dataset, tokens):
    """Asserts that every target comes once, in order, after its input. Returns the first row's first token."""
    rows = dataset.batch_size
    n = (len(tokens) - 1) // rows
    windows = list(dataset)
    assert len(windows) == len(dataset)
    for (x, y), length in zip(windows, dataset.window_lengths(), strict=True):
        assert x.dtype == y.dtype == np.int32
        assert x.shape == y.shape == (rows, length)
    x, y = (np.concatenate(arrays, axis=1) for arrays in zip(*windows, strict=True))
    phase = int(np.flatnonzero(tokens == x[0, 0])[0])
    np.testing.assert_array_equal(np.roll(x.ravel(), phase), tokens[: n * rows])
    np.testing.assert_array_equal(np.roll(y.ravel(), phase), tokens[1 : n * rows + 1])
    return phase


@given(variable=st.booleans(), **SIZES)
def test_every_target_exactly_once_an_epoch(size, batch_size, bptt, seed, variable):
    assume(size > batch_size)
    # All tokens differ, so that none can be confused with another.
    tokens = np.random.default_rng(0).permutation(size)
    dataset = BPTTDataset(tokens, batch_size, bptt=bptt, variable=variable, seed=seed)
    for epoch in (0, 1, 7):
        dataset.set_epoch(epoch)
        assert check_epoch(dataset, tokens) == 0


@given(data=st.data(), **SIZES)
def test_every_target_exactly_once_with_multiples(data, size, batch_size, bptt, seed):
    multiple = data.draw(st.integers(1, max(1, bptt // 2)))
    tokens = np.random.default_rng(0).permutation(size)
    assume(size > batch_size)
    dataset = BPTTDataset(tokens, batch_size, bptt, seed=seed, length_multiple=multiple)
    for epoch in range(3):
        dataset.set_epoch(epoch)
        phase = check_epoch(dataset, tokens)
        assert phase < (size - 1) // batch_size
        assert multiple > 1 or phase == 0


@given(**SIZES)
@example(size=2, batch_size=1, bptt=70, seed=0)
@example(size=5, batch_size=1, bptt=70, seed=0)
@example(size=6, batch_size=1, bptt=1, seed=0)
@example(size=91, batch_size=1, bptt=70, seed=0)
@example(size=92, batch_size=1, bptt=70, seed=0)
def test_bounds_and_constant_window_count(size, batch_size, bptt, seed):
    assume(size > batch_size)
    dataset = BPTTDataset(np.arange(size), batch_size, bptt=bptt, seed=seed, length_multiple=1)
    n = (size - 1) // batch_size
    for lengths in first_epochs(dataset):
        assert len(lengths) == len(dataset)
        assert lengths.sum() == n
        assert lengths.min() >= min(5, n)
        assert lengths.max() <= bptt + 20


def test_fixed_lengths():
    dataset = BPTTDataset(np.arange(1 + 2 * 75), 2, bptt=20, variable=False)
    assert dataset.window_lengths().tolist() == [20, 20, 20, 15]
    assert dataset.window_lengths(5).tolist() == [20, 20, 20, 15]
    assert BPTTDataset(np.arange(41), 1, 20, variable=False).window_lengths().tolist() == [20, 20]
    assert BPTTDataset(np.arange(8), 1, 20, variable=False).window_lengths().tolist() == [7]


def test_mean_and_spread():
    dataset = BPTTDataset(np.zeros(20 * 46_479 + 1, "int32"), 20, length_multiple=1)
    lengths = np.concatenate(first_epochs(dataset, 10))
    # The mean is 0.95 * 70 + 0.05 * 35. The deviation, of two normals that are 35 apart: sqrt(25 + 0.95 * 0.05 * 35^2).
    assert lengths.mean() == pytest.approx(68.25, abs=0.15)
    assert lengths.std() == pytest.approx(9.12, rel=0.05)
    assert lengths[lengths > 52].std() == pytest.approx(5, abs=0.2)
    assert (lengths <= 52).mean() == pytest.approx(0.05, abs=0.01)
    assert lengths[lengths <= 52].mean() == pytest.approx(35, abs=1.5)


def test_the_difference_is_spread_over_many_windows(monkeypatch):
    """If all draws are 70 and the sum is off by 30 tokens, 30 random windows change by one token each."""
    monkeypatch.setattr("awd_keras.data.window_lengths._HALF_PROBABILITY", 0.0)
    monkeypatch.setattr("awd_keras.data.window_lengths._DEVIATION", 1e-9)
    for change in (-1, 1):
        dataset = BPTTDataset(np.zeros(100 * 70 + 30 * change + 1, "int32"), 1, length_multiple=1)
        picked = np.array(first_epochs(dataset, 50)) == 70 + change
        assert (picked.sum(axis=1) == 30).all()
        # Every window is picked in some epochs, and not in others.
        assert picked.mean(axis=0).min() > 0
        assert picked.mean(axis=0).max() < 1


def test_lengths_differ_between_epochs_and_seeds():
    tokens = np.zeros(5000, "int32")
    lengths = [
        tuple(BPTTDataset(tokens, 2, seed=seed).window_lengths(epoch)) for seed in range(3) for epoch in range(3)
    ]
    assert len(set(lengths)) == 9


@given(epoch=st.integers(0, 2**40), **SIZES)
def test_lengths_are_pure_in_seed_and_epoch(size, batch_size, bptt, seed, epoch):
    assume(size > batch_size)
    one = BPTTDataset(np.arange(size), batch_size, bptt=bptt, seed=seed)
    other = BPTTDataset(np.zeros(size, "int32"), batch_size, bptt=bptt, seed=seed)
    expected = one.window_lengths(epoch)
    other.window_lengths(3)
    other[0]
    other.set_epoch(epoch)
    np.random.seed(1)
    np.testing.assert_array_equal(other.window_lengths(), expected)
    assert [x.shape[1] for x, _ in other] == expected.tolist()
    assert one.epoch == 0


@given(size=st.integers(2, 30_000), seed=st.integers(0, 2**40))
@example(size=91, seed=0)
@example(size=92, seed=0)
def test_few_lengths(size, seed):
    """Windows of 70 tokens have few lengths, for texts of any size and any number of epochs."""
    dataset = BPTTDataset(np.zeros(size, "int32"), 1, length_multiple=7, seed=seed)
    seen = set()
    for lengths in first_epochs(dataset, 20):
        assert len(lengths) == len(dataset)
        assert lengths.sum() == size - 1
        assert lengths.min() >= min(5, size - 1)
        assert lengths.max() <= 90
        seen |= set(lengths.tolist())
    (rest,) = seen - {35, 63, 70, 77} or {70}
    assert rest % 7 == (size - 1) % 7


@given(bptt=st.integers(2, 90), multiple=st.integers(2, 45), n=st.integers(1, 20_000), seed=st.integers(0, 1000))
def test_number_of_lengths_is_bounded(bptt, multiple, n, seed):
    assume(multiple <= bptt // 2)
    dataset = BPTTDataset(np.zeros(n + 1, "int32"), 1, bptt, length_multiple=multiple, seed=seed)
    epochs = first_epochs(dataset, 30)
    assert len(set(np.concatenate(epochs).tolist())) <= 2 * max(1, 10 // multiple) + 3
    for lengths in epochs:
        assert len(lengths) == len(dataset)
        assert lengths.sum() == n
        assert lengths.min() >= min(5, n)
        assert lengths.max() <= bptt + 20


@given(bptt=st.integers(6, 300), n=st.integers(1, 20_000), seed=st.integers(0, 99))
def test_the_multiple_that_leaves_five_lengths(bptt, n, seed):
    multiple = few_lengths_multiple(bptt)
    dataset = BPTTDataset(np.zeros(n + 1, "int32"), 1, bptt, seed=seed, length_multiple=multiple)
    assert len(set(np.concatenate(first_epochs(dataset, 30)).tolist())) <= 5


def test_the_multiple_of_usual_windows():
    assert [few_lengths_multiple(bptt) for bptt in (70, 35, 200, 150, 140)] == [7, 7, 10, 6, 7]
    assert [few_lengths_multiple(bptt) for bptt in range(1, 13)] == [1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6]


@pytest.mark.parametrize(("n", "batch_size"), [(150, 3), (701, 1)])
def test_edges_fall_on_every_token_as_often(n, batch_size):
    dataset = BPTTDataset(np.arange(n * batch_size + 1), batch_size, bptt=35, length_multiple=7)
    begins = np.zeros(n * batch_size, "int64")
    epochs = 3000
    for epoch in range(epochs):
        dataset.set_epoch(epoch)
        for index in range(len(dataset)):
            begins[dataset[index][0][:, 0]] += 1
    expected = epochs * len(dataset) / n
    assert begins.min() > expected / 2
    assert begins.max() < expected * 2
    by_residue = [begins[residue::7].mean() for residue in range(7)]
    assert by_residue == pytest.approx([expected] * 7, rel=0.1)


def test_the_window_that_makes_the_sum_is_anywhere():
    dataset = BPTTDataset(np.zeros(158, "int32"), 1, bptt=35, length_multiple=7)
    epochs = first_epochs(dataset, 200)
    (rest,) = {length for length in np.concatenate(epochs).tolist() if length % 7}
    assert {lengths.tolist().index(rest) for lengths in epochs} == set(range(len(dataset)))


def test_few_lengths_mean_and_spread():
    dataset = BPTTDataset(np.zeros(20 * 46_479 + 1, "int32"), 20, length_multiple=7)
    lengths = np.concatenate(first_epochs(dataset, 10))
    assert lengths.mean() == pytest.approx(68.25, abs=0.15)
    assert lengths.std() == pytest.approx(9.12, rel=0.05)
    assert lengths[lengths > 52].std() == pytest.approx(5, abs=0.2)
    assert (lengths <= 52).mean() == pytest.approx(0.05, abs=0.01)
    # A normal distribution of deviation 5, rounded to multiples of 7.
    usual = lengths[lengths > 52]
    shares = [(usual == length).mean() for length in (63, 70, 77)]
    assert shares == pytest.approx([0.242, 0.516, 0.242], abs=0.04)


@pytest.mark.parametrize("multiple", [1, 7])
def test_starts_are_those_of_the_windows(multiple):
    dataset = BPTTDataset(np.arange(3 * 150 + 1), 3, bptt=35, length_multiple=multiple)
    for epoch in range(20):
        dataset.set_epoch(epoch)
        starts = dataset.window_starts()
        assert starts.tolist() == dataset.window_starts(epoch).tolist()
        assert starts[0] == 0 or multiple > 1
        for (x, _), start in zip(dataset, starts, strict=True):
            assert sorted(x[:, 0].tolist()) == [start, start + 150, start + 300]


def test_a_set_epoch_is_kept_until_it_was_read():
    dataset = BPTTDataset(np.arange(101), 1, bptt=20)
    dataset.on_epoch_begin()
    list(dataset)
    dataset.set_epoch(5)
    dataset.on_epoch_end()
    assert dataset.epoch == 5


def test_windows_are_copies():
    dataset = BPTTDataset(np.arange(101), 1, bptt=20)
    before = dataset[0][0].copy()
    dataset[0][0][:] = 0
    dataset[0][1][:] = 0
    np.testing.assert_array_equal(dataset[0][0], before)


def test_index_out_of_range():
    dataset = BPTTDataset(np.arange(101), 1, bptt=20)
    for index in (len(dataset), -1):
        with pytest.raises(IndexError, match=f"Window {index} "):
            dataset[index]


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("tokens", np.zeros((3, 4), "int32")),
        ("tokens", np.zeros(100)),
        ("tokens", np.zeros(100, bool)),
        ("tokens", np.arange(-1, 100)),
        ("tokens", np.arange(100) + 2**31),
        ("tokens", np.zeros(0, "int32")),
        ("tokens", np.arange(1)),
        ("batch_size", 0),
        ("batch_size", 2.0),
        ("batch_size", True),
        ("bptt", 0),
        ("bptt", "70"),
        ("variable", 1),
        ("seed", -1),
        ("seed", None),
        ("length_multiple", 0),
        ("length_multiple", 36),
    ],
)
def test_arguments_are_checked(argument, value):
    arguments = {"tokens": np.arange(100), "batch_size": 1, argument: value}
    with pytest.raises(ValueError, match=rf"^Argument `{argument}` must .* Received: "):
        BPTTDataset(**arguments)


def test_stream_too_short():
    with pytest.raises(ValueError, match=r"too short for one window.* 20 tokens with batch_size=20"):
        BPTTDataset(np.arange(20), 20)
    assert len(BPTTDataset(np.arange(21), 20)) == 1


def test_multiples_need_variable_lengths():
    with pytest.raises(ValueError, match=r"`length_multiple` must be 1 if `variable=False`"):
        BPTTDataset(np.arange(1000), 1, variable=False, length_multiple=10)


@pytest.mark.parametrize("bad", [-1, 1.5, True])
def test_epoch_is_checked(bad):
    dataset = BPTTDataset(np.arange(1000), 1)
    for take in (dataset.set_epoch, dataset.window_lengths, dataset.window_starts):
        with pytest.raises(ValueError, match="`epoch` must be an integer of at least 0"):
            take(bad)


def test_shards_are_the_rows_of_the_same_windows():
    whole = BPTTDataset(np.arange(1001), batch_size=6, bptt=20, seed=3)
    shards = [whole.shard(3, index) for index in range(3)]
    assert [(shard.batch_size, shard.num_shards, len(shard)) for shard in shards] == [(2, 3, len(whole))] * 3
    for epoch in (0, 5):
        for dataset in (whole, *shards):
            dataset.set_epoch(epoch)
        for index in range(len(whole)):
            for part, expected in enumerate(whole[index]):
                np.testing.assert_array_equal(np.concatenate([shard[index][part] for shard in shards]), expected)
    # Each shard counts its own epochs, and can be split again.
    shards[0].set_epoch(1)
    assert (whole.epoch, shards[1].epoch) == (5, 5)
    half = shards[2].shard(2, 1)
    np.testing.assert_array_equal(half[0][0], whole[0][0][5:])
    assert half.num_shards == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((4, 0), "`num_shards` must divide .* Received: num_shards=4 with batch_size=6"),
        ((0, 0), "`num_shards` must be a positive integer"),
        ((3, 3), "`index` must be below `num_shards`. Received: index=3 with num_shards=3"),
        ((3, -1), "`index` must be an integer of at least 0"),
    ],
)
def test_bad_shards(arguments, message):
    with pytest.raises(ValueError, match=message):
        BPTTDataset(np.arange(1001), batch_size=6).shard(*arguments)


@pytest.mark.once
def test_backwards_reads_from_the_end():
    tokens = np.arange(101)
    backwards, forwards = BPTTDataset(tokens, 2, bptt=10, backwards=True), BPTTDataset(tokens[::-1], 2, bptt=10)
    assert len(backwards) == len(forwards)
    for index in range(len(forwards)):
        for one, other in zip(backwards[index], forwards[index], strict=True):
            np.testing.assert_array_equal(one, other)
    assert (backwards[0][0][0, 0], backwards[0][1][0, 0]) == (100, 99)
    with pytest.raises(ValueError, match="`backwards` must be a boolean. Received: backwards=1"):
        BPTTDataset(tokens, 2, backwards=1)

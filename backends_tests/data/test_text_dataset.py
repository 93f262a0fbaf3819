"""Texts with labels: sorted, padded, in batches."""

import numpy as np
import pytest

from awd_keras.data import TextDataset, Vocabulary

pytestmark = pytest.mark.once

VOCABULARY = Vocabulary(["<unk>", "<eos>", *"abcdefg"])
TEXTS = ["a b c", "d", "e\nf", ["g"] * 7, "a x"]


def dataset(labels=(0, 1, 2, 0, 1), **arguments):
    return TextDataset(TEXTS, labels, VOCABULARY, **{"batch_size": 2, "length_multiple": 1, **arguments})


def test_sorted_and_padded():
    """The longest two first, then from the shortest on."""
    batches = [dataset()[index] for index in range(len(dataset()))]
    ids = [[[2, 3, 4], [8] * 7], [[5, -1], [2, 0]], [[6, 1, 7]]]
    ids[0][0] = [6, 1, 7, -1, -1, -1, -1]
    ids[2] = [[2, 3, 4]]
    order = dataset().order.tolist()
    assert order == [2, 3, 1, 4, 0] or order == [0, 3, 1, 4, 2]
    for number, (x, y) in enumerate(batches):
        places = order[2 * number : 2 * number + 2]
        assert x.dtype == y.dtype == np.int32
        assert y.tolist() == [(0, 1, 2, 0, 1)[place] for place in places]
        for row, place in zip(x, places, strict=True):
            words = ["a b c", "d", "e <eos> f", "g g g g g g g", "a <unk>"][place].split()
            assert VOCABULARY.decode(row[row >= 0]) == words
            assert (row[len(words) :] == -1).all()
    assert [x.shape for x, _ in batches] == [(2, 7), (2, 2), (1, 3)]


def test_lengths_are_multiples_and_long_texts_keep_their_end():
    assert [dataset(length_multiple=4)[index][0].shape[1] for index in range(3)] == [8, 4, 4]
    short = dataset(max_tokens=2)
    found = {tuple(row[row >= 0]) for index in range(3) for row in short[index][0]}
    assert found == {(3, 4), (5,), (1, 7), (8, 8), (2, 0)}


def test_predictions_come_back_in_order():
    one = dataset(labels=None)
    assert len(one[0]) == 1
    assert one.in_order_of_texts(one.order).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match=r"`predictions` must have 5 rows, .* Received: shape=\(4,\)"):
        one.in_order_of_texts(np.arange(4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": "a b"}, "`texts` must be a sequence of texts. Received: texts='a b'"),
        ({"texts": []}, r"`texts` must be a sequence of texts. Received: texts=\[\]"),
        ({"texts": ["a", " "]}, r"`texts` must hold texts of at least one word. Received: texts\[1\]=' '"),
        ({"labels": [0]}, r"`labels` must hold one label for each of 2 texts. Received: \(1,\)"),
        ({"labels": [0, -1]}, "`labels` must hold integers of at least 0 .* Received: "),
        ({"labels": [0, 2**31]}, "`labels` must hold integers of at least 0 that int32 can hold"),
        ({"labels": [0.5, 1]}, "`labels` must hold integers of at least 0 .* float64"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer. Received: batch_size=0"),
        ({"max_tokens": 0}, "`max_tokens` must be a positive integer. Received: max_tokens=0"),
        ({"length_multiple": 0}, "`length_multiple` must be a positive integer. Received: length_multiple=0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TextDataset(**{"texts": ["a", "b"], "labels": [0, 1], "vocabulary": VOCABULARY, "batch_size": 2, **arguments})

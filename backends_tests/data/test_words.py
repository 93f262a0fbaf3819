import pytest

from awd_keras.data.units import UNITS

pytestmark = pytest.mark.once
split_words = UNITS["word"].cut


def test_the_end_of_a_line_is_a_word():
    assert split_words("the  cat\n\n sat\x0con\r\nit\r\rwas") == [
        "the", "cat", "<eos>", "<eos>", "sat", "on", "<eos>", "it", "<eos>", "<eos>", "was",
    ]  # fmt: skip
    assert split_words("") == split_words(" \t") == split_words("\ufeff") == []


def test_a_byte_order_mark_is_left_out_at_the_beginning_alone():
    assert split_words("\ufeffthe \ufeffcat") == ["the", "\ufeffcat"]

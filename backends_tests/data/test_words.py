from awd_keras.data.words import split_words


def test_a_newline_is_a_word_and_other_ends_of_lines_are_not():
    assert split_words("the  cat\n\n sat\x0con\r\nit") == ["the", "cat", "<eos>", "<eos>", "sat", "on", "<eos>", "it"]
    assert split_words("") == split_words(" \t") == []

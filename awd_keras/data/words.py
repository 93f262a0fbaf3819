"""How a text is words."""

EOS = "<eos>"
UNK = "<unk>"
# What an error says that tells of an unknown word.
WITH_UNK = f"A model that is trained with `min_count=2`, on the command line --min-count 2, has {UNK!r}."
# What some programs begin a text with, Windows' Notepad for example. It is no part of the text.
BYTE_ORDER_MARK = "\ufeff"


def split_words(text: str) -> list[str]:
    """A text's words, which whitespace separates; each end of a line (LF, CR LF or CR) is the word `<eos>`."""
    return split_piece(text.removeprefix(BYTE_ORDER_MARK))


def split_piece(text: str) -> list[str]:
    """`split_words` of a piece from within a text."""
    # Not by str.splitlines(), which takes a dozen other characters for the end of a line.
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return lines.replace("\n", f" {EOS} ").split()

"""How a text is words."""

EOS = "<eos>"
UNK = "<unk>"


def split_words(text: str) -> list[str]:
    """A text's words, which whitespace separates; each newline is the word `<eos>`."""
    # Not by str.splitlines(), which takes a dozen other characters for the end of a line.
    return text.replace("\n", f" {EOS} ").split()

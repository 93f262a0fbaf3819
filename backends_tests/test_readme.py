"""The README's Python runs as it stands, on a cut of its corpus and for one epoch."""

import re
from pathlib import Path

import pytest

from awd_keras import data

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_there_is_an_example():
    assert BLOCKS


@pytest.mark.parametrize("block", BLOCKS)
def test_python_example(block, monkeypatch):
    corpus = data.Corpus.python_docs()
    corpus.train, corpus.valid = corpus.train[:1500], corpus.valid[:720]
    monkeypatch.setattr(data.Corpus, "python_docs", lambda: corpus)

    names: dict = {}
    exec(re.sub(r"epochs=\d+", "epochs=1, verbose=0", block), names)

    history = names["model"].history.history
    assert 1 < history["val_perplexity"][0] < 2 * len(corpus.vocabulary)

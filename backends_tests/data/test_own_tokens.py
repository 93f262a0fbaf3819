"""The user's own tokenizer instead of a vocabulary: one of `tokenizers`, one of `sentencepiece`."""

import io

import numpy as np
import pytest
import sentencepiece
import tokenizers

from awd_keras import runs
from awd_keras.analysis import analyse
from awd_keras.data import UNK, Corpus, TextDataset, Vocabulary, encode_file
from awd_keras.evaluation import cache_perplexity, perplexity, score_texts, surprisal
from awd_keras.generation import generate, next_words, stream
from awd_keras.models import AWDLSTM

pytestmark = pytest.mark.once

LINES = ["the cat sat on the mat", "the dog ran under the tree", "a bird saw the cat and the dog", "Käse für 3 €"]
TEXT = "\n".join(LINES * 4) + "\n"


class OfTokenizers:
    """Byte-level BPE, which decodes any text to the same text."""

    def __init__(self):
        self.bpe = tokenizers.ByteLevelBPETokenizer()
        self.bpe.train_from_iterator(LINES, vocab_size=300, min_frequency=1, show_progress=False)
        known = self.bpe.get_vocab()
        self.words = sorted(known, key=known.get)

    def encode(self, text):
        return self.bpe.encode(text).ids

    def decode(self, ids):
        return self.bpe.decode(ids)


class OfSentencePiece:
    """A sentencepiece model. It has no token for a line end, unless it falls back to bytes."""

    def __init__(self, **options):
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(LINES), model_writer=model, hard_vocab_limit=False, minloglevel=2, **options
        )
        self.pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
        self.words = [self.pieces.id_to_piece(i) for i in range(len(self.pieces))]

    def encode(self, text):
        return self.pieces.encode(text)

    def decode(self, ids):
        return self.pieces.decode(ids)


MAKERS = {
    "tokenizers": OfTokenizers,
    "sentencepiece": lambda: OfSentencePiece(byte_fallback=True, normalization_rule_name="identity"),
}


@pytest.fixture(scope="module", params=MAKERS)
def tokenizer(request):
    return MAKERS[request.param]()


@pytest.fixture(scope="module")
def model(tokenizer):
    model = AWDLSTM(len(tokenizer.words), embedding_dim=6, hidden_units=8, num_layers=2, seed=1)
    model.build((4, None))
    # Larger weights, so that it writes many different tokens.
    model.set_weights([3 * weight for weight in model.get_weights()])
    return model


@pytest.fixture
def directory(tmp_path):
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.txt").write_text(TEXT, encoding="utf-8", newline="")
    return tmp_path


def test_a_vocabulary_of_it(tokenizer):
    vocabulary = Vocabulary.of(tokenizer)
    assert (vocabulary.unit, len(vocabulary), vocabulary.words) == (
        "tokenizer",
        len(tokenizer.words),
        tuple(tokenizer.words),
    )
    ids = tokenizer.encode("the cat")
    assert vocabulary.encode(vocabulary.cut("the cat")).tolist() == ids
    assert vocabulary.join(vocabulary.decode(ids)) == "the cat"
    assert Vocabulary.of(vocabulary) is vocabulary
    assert repr(vocabulary) == f"Vocabulary({len(tokenizer.words)} tokens)"


@pytest.mark.parametrize("text", [*LINES, TEXT, "the catdog €€ ä", "cat", ""])
def test_written_token_by_token(tokenizer, text):
    """Half a character is held back until it is complete, and a space in the middle of a text isn't lost."""
    vocabulary = Vocabulary.of(tokenizer)
    words = vocabulary.cut(text)
    writer = vocabulary.cut_by.writer()
    pieces = [*map(writer.add, words), writer.end()]
    assert "".join(pieces) == vocabulary.join(words) == tokenizer.decode(tokenizer.encode(text))
    assert "\ufffd" not in "".join(pieces)
    if len(words) > 3:
        assert sum(map(bool, pieces)) > 2


def test_a_corpus(tokenizer, directory):
    corpus = Corpus.from_directory(directory, vocabulary=tokenizer)
    assert corpus.train.tolist() == tokenizer.encode(TEXT) == encode_file(directory / "valid.txt", tokenizer).tolist()
    assert corpus.vocabulary.unit == "tokenizer"
    assert corpus.source is None
    assert Corpus(corpus.train, corpus.valid, corpus.test, tokenizer).digest == corpus.digest
    with pytest.raises(ValueError, match="`cache` must be None with a tokenizer"):
        Corpus.from_directory(directory, vocabulary=tokenizer, cache=directory / "cache")
    (directory / "valid.txt").write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match=r"valid.txt isn't UTF-8: .* at byte 3$"):
        Corpus.from_directory(directory, vocabulary=tokenizer)


def test_what_takes_it(tokenizer, model):
    """All functions that take a vocabulary take a tokenizer."""
    vocabulary = Vocabulary.of(tokenizer)
    text = generate(model, tokenizer, "the cat", max_words=30, seed=1)
    assert text.startswith("the cat")
    assert len(text) > 20
    assert "".join(piece for _, piece in stream(model, tokenizer, "the cat", max_words=30, seed=1)) == text
    beams = generate(model, tokenizer, ["the", "a"], max_words=5, num_beams=2)
    assert [beam.startswith(word) for beam, word in zip(beams, ("the", "a"), strict=True)] == [True, True]
    assert generate(model, tokenizer, "", max_words=3, seed=1) == generate(model, vocabulary, "", max_words=3, seed=1)
    (likeliest, _), *_ = next_words(model, tokenizer, "the cat")
    assert likeliest in tokenizer.words
    (score,) = score_texts(model, tokenizer, ["the cat"])
    table = surprisal(model, tokenizer, "the cat")
    assert list(table.words) == vocabulary.cut("the cat")
    assert score.words == len(table) == len(tokenizer.encode("the cat"))
    assert score.log_probability == pytest.approx(-table.total_bits * np.log(2), rel=1e-5)
    assert list(analyse(model, tokenizer, "the cat").words) == vocabulary.cut("the cat")
    ids = np.array(tokenizer.encode(TEXT))
    assert perplexity(model, ids, vocabulary=tokenizer).unknown_tokens == 0
    assert cache_perplexity(model, ids, vocabulary=tokenizer).unknown_tokens == 0
    (batch,) = TextDataset(["the cat", "a"], None, tokenizer, 2, length_multiple=1)[0]
    assert tokenizer.encode("the cat") in batch.tolist()


def test_a_run(tokenizer, directory, tmp_path):
    """The file of its vocabulary has the words but no tokenizer, and reading it says so."""
    corpus = Corpus.from_directory(directory, vocabulary=tokenizer)
    sizes = {"embedding_dim": 4, "hidden_units": 6, "num_layers": 1}
    settings = {"model": sizes, "epochs": 1, "batch_size": 4, "bptt": 20, "verbose": 0}
    result = runs.train(tmp_path / "run", corpus, **settings)
    run = runs.Run.open(tmp_path / "run")
    lost = run.vocabulary()
    assert (lost.words, lost.unit) == (tuple(tokenizer.words), "tokenizer")
    assert perplexity(run.model(), corpus.test, vocabulary=lost).perplexity == pytest.approx(result["test_perplexity"])
    assert generate(run.model(), tokenizer, "the", max_words=3).startswith("the")
    for use in (
        lambda: generate(run.model(), lost, "the"),
        lambda: lost.join(["the"]),
        lambda: surprisal(run.model(), lost, "the"),
        lambda: encode_file(directory / "test.txt", lost),
    ):
        with pytest.raises(ValueError, match="`vocabulary` must be the tokenizer that the model was trained with"):
            use()
    with pytest.raises(ValueError, match="corpus that Python code has made"):
        runs.resume(tmp_path / "run")
    assert runs.resume(tmp_path / "run", corpus, epochs=2, verbose=0)["epochs"] == 2


class Broken:
    """A tokenizer that encodes texts with an id that has no word."""

    words = ("a", "b")

    def __init__(self, bad):
        self.bad = bad

    def encode(self, text):
        return [0, 1, self.bad]

    def decode(self, ids):
        return ""


@pytest.mark.parametrize("bad", [2, -1])
def test_ids_outside_of_the_vocabulary(bad, directory):
    message = rf"`vocabulary` must encode texts in the ids of its 2 `words`. Received: the id {bad}"
    for use in (lambda: Vocabulary.of(Broken(bad)), lambda: Corpus.from_directory(directory, vocabulary=Broken(bad))):
        with pytest.raises(ValueError, match=message):
            use()


class Twice(Broken):
    words = ("a", "a", "b")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["a", "b"], "`vocabulary` must be a `Vocabulary`, or a tokenizer .* Received: list, without 'words'"),
        (None, "Received: NoneType, without 'words'"),
        (Twice(1), "must hold each word once"),
    ],
    ids=["list", "None", "twice"],
)
def test_what_is_no_tokenizer(given, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary.of(given)


def test_no_token_for_the_end_of_a_line(model):
    tokenizer = OfSentencePiece()
    model = AWDLSTM(len(tokenizer.words), embedding_dim=2, hidden_units=2, num_layers=1)
    model.build((1, None))
    assert generate(model, tokenizer, "the", max_words=2).startswith("the")
    for use in (
        lambda: generate(model, tokenizer, ""),
        lambda: surprisal(model, tokenizer, "the cat"),
        lambda: score_texts(model, tokenizer, ["the cat"]),
    ):
        with pytest.raises(ValueError, match="`vocabulary` must have a token for the end of a line"):
            use()
    assert UNK in Vocabulary.of(tokenizer)  # sentencepiece has the same name for it

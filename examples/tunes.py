"""Not only for text: a model learns Irish tunes, note by note, and writes a new one.

    pip install --no-deps music21   # 20 MB: its collection of tunes is read, its code isn't used
    KERAS_BACKEND=jax python examples/tunes.py

O'Neill's collection of 1907 in ABC notation, where a tune is a line of words: its metre, its key, notes and bars.
Keras's own LSTM, with Adam and with clipped SGD, and AWD-LSTM, with the same number of weights, learn 400 tunes and
predict the notes of other tunes. Clipped SGD is what helps here: docs/results/sequences.md has five seeds of each, with
these settings, which `experiments/search_against_keras.py --text tunes` has found.
"""

import argparse
import importlib.util
import re
from pathlib import Path

from against_keras import EPOCHS, Sizes, train_each

from awd_keras import data, generation

# A note, or a rest, with its accidental, octave and length; a bar line or repeat; the beginning of a triplet.
WORD = re.compile(r"[\^_=]*[A-Ga-gz][,']*[\d/]*[<>]*|:\||\|\||\|:|\|\]|\||::|\[[12]|\([2-9]")
ORNAMENTS = re.compile(r'\{[^}]*\}|"[^"]*"|![^!]*!|%.*')
# 0.17 million weights each.
SIZES = Sizes(
    keras={"tied": (64, (128, 64), True), "untied": (32, (134, 64), False), "one layer": (64, (140,), False)},
    ours={1: {"embedding_dim": 128}, 2: {"embedding_dim": 64, "hidden_units": 128}},
)

SETTINGS: dict[str, dict] = {
    "keras-adam": {
        "learning_rate": 0.00624,
        "weight_decay": 0.578,
        "batch_size": 20,
        "shape": "tied",
        "window": 35,
        "halve_on_plateau": False,
    },
    "keras-sgd": {
        "learning_rate": 27.5,
        "weight_decay": 5.02e-05,
        "batch_size": 10,
        "shape": "one layer",
        "window": 70,
        "halve_on_plateau": True,
        "dropout": 0.399,
        "recurrent_dropout": 0.121,
    },
    "awd-lstm": {
        "learning_rate": 14.1,
        "weight_decay": 4.66e-06,
        "batch_size": 10,
        "interval": 2,
        "num_layers": 2,
        "bptt": 70,
        "embedding_dropout": 0.006,
        "input_dropout": 0.217,
        "hidden_dropout": 0.247,
        "output_dropout": 0.157,
        "weight_drop": 0.149,
        "alpha": 0.0,
        "beta": 0.0,
    },
}


def collection():
    """The files of the tunes, which music21 has."""
    package = importlib.util.find_spec("music21")
    if package is None:
        raise SystemExit("tunes.py needs music21's tunes: pip install --no-deps music21")
    return sorted(Path(package.submodule_search_locations[0], "corpus", "oneills1850").glob("*.abc"))


def read_tunes(files):
    """The tunes whose unit is an eighth note, each as a list of words."""
    tunes = []
    for file in files:
        for text in re.split(r"\n\s*\n", file.read_text(encoding="utf-8")):
            fields = dict(re.findall(r"^([A-Z]): *(.*?) *$", text, flags=re.MULTILINE))
            if fields.get("L") != "1/8" or not {"M", "K"} <= fields.keys():
                continue
            notes = re.sub(r"^\w:.*$", "", text, flags=re.MULTILINE)
            words = WORD.findall(ORNAMENTS.sub("", notes))
            tunes.append([f"M:{fields['M']}", f"K:{fields['K'].split()[0]}", *words])
    return tunes


def read_corpus(tunes):
    """Of every ten tunes, three are for training (up to 400 tunes), one for validation and two for the test."""
    places = {"train": (0, 4, 7), "valid": (2,), "test": (5, 9)}
    texts = {}
    for split, of_ten in places.items():
        chosen = [tune for number, tune in enumerate(tunes) if number % 10 in of_ten]
        texts[split] = [word for tune in chosen[:400] for word in (*tune, "<eos>")]
    vocabulary = data.Vocabulary.from_words([word for text in texts.values() for word in text], min_count=5)
    return data.Corpus(*(vocabulary.encode(text) for text in texts.values()), vocabulary)


def as_abc(words):
    """A tune in ABC notation, as other programs read it, with four bars on each line."""
    fields = [word for word in words if word[1:2] == ":" and word[0] in "MK"]
    lines, bars = [[]], 0
    for word in words:
        if word in fields:
            continue
        lines[-1].append(word)
        bars += "|" in word
        if "|" in word and bars % 4 == 0:
            lines.append([])
    metre, key = (next((field for field in fields if field[0] == name), None) for name in "MK")
    return "\n".join(
        ["X:1", "T:New", metre or "M:C|", "L:1/8", key or "K:G", *(" ".join(line) for line in lines if line)]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=EPOCHS, metavar="N", help="at most (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    options = parser.parse_args()
    corpus = read_corpus(read_tunes(collection()))
    print(f"{len(corpus.train):,} notes, bars and keys to learn from, {len(corpus.vocabulary)} different ones")
    *_, (_, model, _) = train_each(corpus, SETTINGS, options.seed, options.epochs, SIZES, digits=2)
    text = generation.generate(
        model, corpus.vocabulary, "M:6/8 K:G", max_words=150, temperature=0.8, seed=options.seed, stop="<eos>"
    )
    print(f"\nA new one, to be heard in any program for ABC:\n\n{as_abc(text.split())}")


if __name__ == "__main__":
    main()

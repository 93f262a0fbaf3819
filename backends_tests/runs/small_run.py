"""A run of a second or two, and everything in it that must not depend on interruptions."""

import contextlib
import io
import json
import shutil
import zipfile

import h5py
import numpy as np
import pytest

from awd_keras import runs
from awd_keras.data import Corpus, Vocabulary

EPOCHS = 5
# Averaging begins at the end of epoch 3.
SETTINGS = {
    "model": {"embedding_dim": 6, "hidden_units": 8, "num_layers": 1},
    "optimizer": {"learning_rate": 2.0, "non_monotone_interval": 1},
    "epochs": EPOCHS,
    "batch_size": 4,
    "bptt": 10,
    "seed": 410,  # an epoch has windows of 5 and 11 tokens, in either order: JAX compiles only these
    "verbose": 0,
}
# The same settings for the command line.
OPTIONS = [
    *("--embedding-dim", "6", "--hidden-units", "8", "--num-layers", "1", "--batch-size", "4", "--bptt", "10"),
    *("--epochs", str(EPOCHS), "--seed", "410", "--learning-rate", "2", "--non-monotone-interval", "1"),
]
_TIMES = ("seconds", "tokens_per_second")


def make_corpus():
    rng = np.random.default_rng(1)
    # Words that are frequent in training are rare in validation, so validation gets worse from epoch to epoch.
    p = np.arange(1.0, 10.0) / 45
    train = rng.choice(9, size=65, p=p).astype("int32")
    valid, test = (rng.choice(9, size=n, p=p[::-1]).astype("int32") for n in (101, 21))
    return Corpus(train, valid, test, Vocabulary(["<eos>", *"abcdefgh"]))


def write_text(directory):
    """Writes a text for `OPTIONS` that is similar to that of `make_corpus`, and as long."""
    rng = np.random.default_rng(1)
    rates = np.arange(1.0, 9.0) / 36
    directory.mkdir()
    for split, lines, p in (("train", 13, rates), ("valid", 20, rates[::-1]), ("test", 4, rates[::-1])):
        text = "".join(" ".join(rng.choice(list("abcdefgh"), size=4, p=p)) + "\n" for _ in range(lines))
        # One word more, for the last target.
        (directory / f"{split}.txt").write_text(text + "\n" * (split != "train"), encoding="utf-8")


@contextlib.contextmanager
def copies_after_each_epoch(folder):
    """A context in which a run is copied to `folder/after-EPOCH` after each epoch, as `kill -9` would leave it."""
    write = runs.Checkpoints.write

    def write_and_copy(self, epoch, model):
        write(self, epoch, model)
        shutil.copytree(self.directory, folder / f"after-{epoch}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs.Checkpoints, "write", write_and_copy)
        yield


def arrays(path):
    """Every array in a `.keras` file, by its name: weights, the optimizer's variables, the masks' seeds."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        file = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
    file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def contents(directory):
    """The content of a run's directory, without times, as one dictionary of texts and arrays."""
    found = {}
    for path in directory.iterdir():
        if path.suffix == ".keras":
            found.update({f"{path.name}/{name}": array for name, array in arrays(path).items()})
        elif path.suffix in (".json", ".jsonl"):
            lines = path.read_text(encoding="utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_bytes()]
            values = [json.loads(line) for line in lines]
            found[path.name] = [{key: value[key] for key in value if key not in _TIMES} for value in values]
        else:
            found[path.name] = path.read_bytes()
    return found


def differences(one, other):
    """The names for which two `contents` differ, even in a single bit."""
    return sorted(
        name
        for name in one.keys() | other.keys()
        if name not in one or name not in other or not np.array_equal(one[name], other[name])
    )

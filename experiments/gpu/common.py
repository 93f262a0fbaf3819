"""What scripts of this folder share: paths, the precision, and the reading of what was brought back."""

import argparse
import json
import os
import pathlib

ROOT = pathlib.Path(__file__).parents[2]
# Ignored by Git: the files that are copied to the machine, the packages installed there, and the results.
HERE = ROOT / "build" / "gpu"
WHEELS = HERE / "wheels"
TEXT = HERE / "text"
SITE = HERE / "site"

# Full float32. By default, on a recent GPU, cuDNN's LSTM on PyTorch and every product on JAX round their inputs to
# TF32's 10 bits, whose effect on perplexity hasn't been measured. Variables that are already set aren't changed.
FLOAT32 = {"NVIDIA_TF32_OVERRIDE": "0", "JAX_DEFAULT_MATMUL_PRECISION": "float32"}


def use_float32():
    """Sets the variables of `FLOAT32` that aren't set. To be called before the framework is imported."""
    for name, value in FLOAT32.items():
        os.environ.setdefault(name, value)


def add_data(parser):
    """Adds the option that `read_text` takes."""
    parser.add_argument(
        "--data",
        metavar="DIR",
        default=str(TEXT) if TEXT.is_dir() else None,
        help="directory with train.txt, valid.txt and test.txt (default: what prepare.py has brought, else the text "
        "that Python carries)",
    )


def read_text(directory, unit="word"):
    """The text of `--data`. Imports Keras."""
    from awd_keras import data

    if directory is None:
        return data.Corpus.python_docs(unit=unit)
    return data.Corpus.from_directory(directory, unit=unit)


def parser_of_what_was_brought_back(description):
    """A parser of the arguments that `brought_back` reads."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", type=pathlib.Path, metavar="DIR", help="of NAME.json and NAME-half-1-of-N.npz")
    parser.add_argument("name", metavar="NAME", help="ptb-torch-0 for NAME.json")
    add_data(parser)
    return parser


def brought_back(options):
    """The path of NAME.json, its content, and the run's text. Imports Keras, with the run's backend."""
    path = options.folder / f"{options.name}.json"
    collected = json.loads(path.read_text(encoding="utf-8"))
    os.environ.setdefault("KERAS_BACKEND", collected["settings"]["backend"])
    use_float32()
    from awd_keras.models import PRESETS

    corpus = read_text(options.data, PRESETS[collected["preset"]].unit)
    if corpus.digest != collected["settings"]["text_digest"]:
        raise SystemExit(f"{path} belongs to a run on another text than this one.")
    return path, collected, corpus

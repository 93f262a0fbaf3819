"""Scores the half-precision weights of train_minutes.py, and with --run the full ones too; adds both to NAME.json."""

import argparse
import json
import os
import pathlib

from common import FLOAT32, TEXT


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder", type=pathlib.Path, metavar="DIR", help="the directory that train_minutes.py got as --out"
    )
    parser.add_argument("name", metavar="NAME", help="ptb-torch-0 for NAME.json")
    parser.add_argument("--run", metavar="RUN", help="directory of the run itself, for its weights in full precision")
    parser.add_argument(
        "--data",
        metavar="DIR",
        default=str(TEXT) if TEXT.is_dir() else None,
        help="as for train_minutes.py",
    )
    options = parser.parse_args()
    path = options.folder / f"{options.name}.json"
    collected = json.loads(path.read_text(encoding="utf-8"))
    os.environ.setdefault("KERAS_BACKEND", collected["settings"]["backend"])
    for name, value in FLOAT32.items():
        os.environ.setdefault(name, value)
    from awd_keras import data
    from awd_keras.output import write_whole

    corpus = data.Corpus.python_docs() if options.data is None else data.Corpus.from_directory(options.data)
    if corpus.digest != collected["settings"]["text_digest"]:
        raise SystemExit(f"{path} belongs to a run on another text than this one.")
    collected["scores"] = scores(collected, corpus, options)
    text = json.dumps(collected, indent=2) + "\n"
    write_whole(path, lambda beside: beside.write_text(text, encoding="utf-8"))
    for precision, score in collected["scores"].items():
        print(f"{precision}: valid {score['valid']:.4f}, test {score['test']:.4f}")


def scores(collected, corpus, options):
    """Perplexities on valid and test, by precision."""
    from half_weights import read_half

    from awd_keras import evaluation
    from awd_keras.models import AWDLSTM, PRESETS
    from awd_keras.runs import Run

    settings = collected["settings"]
    preset = PRESETS[settings["preset"]]
    half = AWDLSTM.from_config(settings["model"])
    half.build((max(preset.valid_batch_size, preset.test_batch_size), None))
    read_half(half, options.name, options.folder)
    models = {"half": half}
    if options.run is not None:
        models["full"] = Run.open(options.run).model()
    splits = {
        "valid": (corpus.valid, preset.valid_batch_size),
        "test": (corpus.test, preset.test_batch_size),
    }
    return {
        precision: {
            split: evaluation.perplexity(model, tokens, rows, settings["bptt"]).perplexity
            for split, (tokens, rows) in splits.items()
        }
        for precision, model in models.items()
    }


if __name__ == "__main__":
    main()

"""Makes a run of weights that were brought back in half precision: `train --start-from` or `finetune` goes on."""

import argparse
import json
import os
import pathlib

from common import FLOAT32, TEXT


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path, metavar="DIR", help="of NAME.json and NAME-half-1-of-N.npz")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("run", metavar="RUN", help="directory of the new run")
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

    corpus = data.Corpus.python_docs() if options.data is None else data.Corpus.from_directory(options.data)
    if corpus.digest != collected["settings"]["text_digest"]:
        raise SystemExit(f"{path} belongs to a run on another text than this one.")
    restore(collected, options.name, options.folder, corpus.vocabulary, options.run)
    print(f"{options.run} can be trained further: see awd-keras train --start-from, or awd-keras finetune")


def restore(collected, name, folder, vocabulary, directory):
    """Writes a run with the model, and its result if it was finished, but without checkpoints to resume.

    Args:
        collected: the content of NAME.json, which `collect_run.py` writes.
        name: string.
        folder: path of the directory with the weights.
        vocabulary: the `Vocabulary` of the run's text.
        directory: path of the new run.

    Returns:
        The `Run`.
    """
    from half_weights import read_half

    from awd_keras.models import AWDLSTM, PRESETS
    from awd_keras.runs import Run

    settings = collected["settings"]
    model = AWDLSTM.from_config(settings["model"])
    model.build((max(settings["batch_size"], PRESETS[settings["preset"]].valid_batch_size), None))
    read_half(model, name, folder)
    run = Run.create(directory, {**settings, "text": None, "versions": collected["versions"]}, vocabulary)
    run.write_model(model)
    if collected["finished"]:
        run.write_result({name: collected[name] for name in ("valid_perplexity", "test_perplexity", "triggered_epoch")})
    return run


if __name__ == "__main__":
    main()

"""Collects a training run in one JSON file and one picture, with the perplexities of the paper and of its code."""

import argparse
import importlib.util
import json
import os
import pathlib
import statistics
import sys

sys.path.append(str(pathlib.Path(__file__).parents[2] / "benchmarks"))

from common import FLOAT32, ROOT
from measure import machine
from worker import device_name

# Perplexity on valid and test.
PUBLISHED = {
    "ptb": {
        "paper": {"before fine-tuning": [60.7, 58.8], "fine-tuned": [60.0, 57.3], "with cache": [53.9, 52.8]},
        "original code": {"before fine-tuning": [61.2, 58.8], "fine-tuned": [58.8, 56.5], "with cache": [53.2, 52.5]},
    },
    "wikitext-2": {
        "paper": {"before fine-tuning": [69.1, 66.0], "fine-tuned": [68.6, 65.8], "with cache": [None, 52.0]},
        "original code": {"before fine-tuning": [68.7, 65.6], "fine-tuned": [67.4, 64.7], "with cache": [52.2, 50.6]},
    },
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", metavar="RUN", help="directory of a run, on the machine that trained it")
    parser.add_argument("name", metavar="NAME", help="of the files")
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=ROOT / "docs" / "results" / "runs",
        metavar="DIR",
        help="(default: docs/results/runs)",
    )
    options = parser.parse_args()
    from awd_keras.runs import Run

    run = Run.open(options.run)
    # The framework of the run, which names the device.
    os.environ.setdefault("KERAS_BACKEND", run.config["backend"])
    for path in collect(run, options.name, options.output):
        print(path)


def collect(run, name, folder):
    """Writes NAME.json and NAME.png of a run into a folder.

    Args:
        run: a `Run` with an epoch or more.
        name: string.
        folder: path.

    Returns:
        List of the files' paths.
    """
    # Imported here, as they import Keras, and callers must be able to set the backend before.
    from awd_keras.output import write_whole
    from awd_keras.runs.recording import draw_curve

    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(summary(run), indent=2) + "\n"
    paths = [folder / f"{name}.json"]
    write_whole(paths[0], lambda path: path.write_text(text, encoding="utf-8"))
    if importlib.util.find_spec("matplotlib"):
        paths.append(folder / f"{name}.png")
        write_whole(paths[1], lambda path: draw_curve(run.metrics(), path))
    return paths


def summary(run):
    """The content of the JSON file. An unfinished run has its best validation perplexity so far, and no test result."""
    config, lines, result = run.config, run.metrics(), run.result or {}
    settings = {name: value for name, value in config.items() if name not in ("text", "versions", "format")}
    start = settings.pop("finetuned_from", None)
    measured = [start["valid_perplexity"]] if start else []
    measured += [line["valid_perplexity"] for line in lines]
    outcome = {
        "valid_perplexity": min((value for value in measured if value is not None), default=None),
        "test_perplexity": None,
        "triggered_epoch": 0 if start else next((line["epoch"] for line in lines if line["averaging"]), None),
    }
    if start:
        outcome["stopped_epoch"] = None
        settings["finetuned_from"] = start
    for name in ("started_from", "finetuned_from"):
        # Without paths, which mean nothing on another machine. Checksums identify the run and the text.
        if settings.get(name):
            settings[name] = {key: value for key, value in settings[name].items() if key != "run"}
    return {
        "preset": config["preset"],
        "finished": bool(result),
        "epochs": len(lines),
        **{name: result.get(name, value) for name, value in outcome.items()},
        "seconds_an_epoch": statistics.median(line["seconds"] for line in lines),
        "tokens_per_second": statistics.median(line["tokens_per_second"] for line in lines),
        "published": PUBLISHED.get(config["preset"]),
        "settings": settings,
        "versions": config["versions"],
        "hardware": {
            **{name: value for name, value in machine().items() if name != "command"},
            "device": device_name(),
            "environment": {name: os.environ.get(name) for name in FLOAT32},
        },
        "metrics": lines,
    }


if __name__ == "__main__":
    main()

"""How much of a run goes to compiling: programs and seconds, in a first run and in a second one of the same sizes.

The demo is `awd-keras train` without options, 20 epochs of 144 steps; the short text has 300 lines, 4 steps an epoch.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from measure import BACKENDS, report

COLUMNS = (
    "backend",
    "text",
    "run",
    "programs",
    "compiling, s",
    "first epoch, s",
    "median epoch, s",
    "the run, s",
)
TEXTS = ("demo", "300 lines")


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--backend", nargs="+", choices=BACKENDS, default=list(BACKENDS), metavar="NAME", help=", ".join(BACKENDS)
    )
    options.add_argument("--text", nargs="+", choices=TEXTS, default=list(TEXTS), metavar="NAME", help=", ".join(TEXTS))
    options.add_argument("--epochs", type=int, metavar="N", help="of each run (default: the preset's 20)")
    options.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the figures to FILE too")
    options.add_argument("--run", help=argparse.SUPPRESS)
    options = options.parse_args()
    if options.run:
        print(json.dumps(measure(pathlib.Path(options.run), options.text[0], options.epochs)))
        return
    rows = []
    for text in options.text:
        for backend in options.backend:
            with tempfile.TemporaryDirectory() as folder:
                rows += [
                    {
                        "backend": backend,
                        "text": text,
                        "run": run,
                        **in_new_process(backend, text, options.epochs, folder),
                    }
                    for run in ("first", "second")
                ]
    report(options, COLUMNS, rows)


def in_new_process(backend, text, epochs, folder):
    """The measurements of a run in a new process, which uses the caches of earlier ones in the folder."""
    command = [sys.executable, __file__, "--run", str(pathlib.Path(folder, "run")), "--text", text]
    command += [] if epochs is None else ["--epochs", str(epochs)]
    # With caches in the folder, not in the directories that the user has set.
    own = {"KERAS_BACKEND": backend, "XDG_CACHE_HOME": folder, "TF_CPP_MIN_LOG_LEVEL": "3"}
    others = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    answer = subprocess.run(command, env={**others, **own}, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(answer.splitlines()[-1])


def measure(directory, text, epochs):
    """The measurements of a run in this process."""
    from awd_keras import runs
    from awd_keras.data import Corpus

    if text == "demo":
        corpus = Corpus.python_docs()
    else:
        write(directory.with_name("text"))
        corpus = Corpus.from_directory(directory.with_name("text"))
    made, seconds = count_programs()
    begin = time.perf_counter()
    runs.train(directory, corpus, epochs=epochs, overwrite=True, verbose=0)
    whole = time.perf_counter() - begin
    of_epochs = [line["seconds"] for line in runs.Run.open(directory).metrics()]
    return {
        "programs": len(made),
        "compiling, s": sum(seconds) if seconds else None,
        "first epoch, s": of_epochs[0],
        "median epoch, s": statistics.median(of_epochs),
        "the run, s": whole,
    }


def count_programs():
    """Two lists that grow during training: the compiled steps, and the seconds of each of JAX's compilations.

    Python runs a step once for each program that is compiled. PyTorch compiles none.
    """
    import keras

    from awd_keras.models import AWDLSTM

    made, seconds = [], []
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        def listen(event, duration, **_):
            if event == "/jax/core/compile/backend_compile_duration":
                seconds.append(duration)

        jax.monitoring.register_event_duration_secs_listener(listen)
    scores = sys.modules["awd_keras.evaluation.perplexity"]
    for owner, name in ((AWDLSTM, "train_step"), (AWDLSTM, "test_step"), (scores, "nats_of_words")) * (
        backend != "torch"
    ):
        setattr(owner, name, noting(made, getattr(owner, name)))
    return made, seconds


def noting(calls, function):
    """The function, with each call recorded in `calls`."""

    def note(*args, **kwargs):
        calls.append(function.__name__)
        return function(*args, **kwargs)

    return note


def write(folder):
    """Writes a text of 300 lines and two of 40 lines, from the documentation that every Python carries."""
    from pydoc_data.topics import topics

    lines = [line for topic in sorted(topics) for line in topics[topic].splitlines() if line.strip()]
    folder.mkdir(exist_ok=True)
    for split, start, end in (("train", 0, 300), ("valid", 300, 340), ("test", 340, 380)):
        (folder / f"{split}.txt").write_text("\n".join(lines[start:end]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

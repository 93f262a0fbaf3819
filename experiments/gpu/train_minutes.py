"""Trains for a number of minutes, from the beginning or from where the previous call stopped, and writes the results.

--out gets NAME.json and NAME.png (settings, metrics, curve) and the weights of the best model in half precision, the
averaged ones once averaging has begun. The run with its checkpoints stays in RUN, where the next call continues.
"""

import argparse
import os
import pathlib
import signal
import sys
import threading
import time

from common import HERE, add_data, read_text, use_float32


def main():
    began = time.monotonic()
    options = parse()
    os.environ["KERAS_BACKEND"] = options.backend
    use_float32()
    # JAX compiles a program for each window length. With this cache, it does so once, not in every call.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(HERE / "compiled"))
    train(options, read_text(options.data), 60 * options.minutes - (time.monotonic() - began))
    for path in bring_back(options.run, options.name, options.out):
        print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True, metavar="M", help="of training, start-up included")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR", help="what is brought back")
    parser.add_argument("--preset", default="ptb", help="(default: %(default)s)")
    parser.add_argument("--backend", default="torch", help="(default: %(default)s)")
    parser.add_argument("--epochs", type=int, metavar="N", help="in all (default: the preset's)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: %(default)s)")
    add_data(parser)
    parser.add_argument("--run", type=pathlib.Path, metavar="RUN", help="(default: build/gpu/PRESET-BACKEND-SEED)")
    options = parser.parse_args()
    options.name = f"{options.preset}-{options.backend}-{options.seed}"
    options.run = options.run or HERE / options.name
    return options


def train(options, corpus, seconds):
    """Starts or resumes the run, and stops it after this number of seconds. The epoch that is running then is lost."""
    from awd_keras import runs

    stop = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
    stop.daemon = True
    stop.start()
    try:
        if (options.run / "config.json").is_file():
            runs.resume(options.run, corpus, epochs=options.epochs, verbose=2)
        else:
            runs.train(
                options.run, corpus, options.preset, epochs=options.epochs, seed=options.seed, overwrite=True, verbose=2
            )
    except runs.Interrupted as interrupted:
        print(f"{interrupted} after {options.minutes:g} minutes, {len(runs.Run(options.run).metrics())} epochs in all")
    finally:
        stop.cancel()


def bring_back(directory, name, out):
    """Writes the results of a run, and returns their paths. A run without a finished epoch has none."""
    from collect_run import collect
    from half_weights import write_half

    from awd_keras.runs import Run

    run = Run.open(directory)
    if not run.path("model.keras").is_file():
        print("No epoch has ended yet.", file=sys.stderr)
        return []
    return [*collect(run, name, out), *write_half(run.model(), name, out)]


if __name__ == "__main__":
    main()

"""Kills training runs at random moments, lets each go on, and holds it against one that was let be.

    python backends_tests/runs/kill.py --kills 30

Half of the kills come at any time, the other half while a file is being written. It prints what was hit, and ends with
status 1 if a single bit of a run differs from the uninterrupted one's. `nox -s faults` runs it on each backend.
"""

import argparse
import os
import random
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

# One thread, so that this process can be forked: a killed run then needn't import its framework again.
os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})
# JAX compiles each program in the first run alone.
compiled = tempfile.TemporaryDirectory(prefix="awd_keras_compiled_")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", compiled.name)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")

import numpy as np  # noqa: E402

from awd_keras import cli, runs  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
from small_run import contents, differences  # noqa: E402

OPTIONS = [
    *("--embedding-dim", "6", "--hidden-units", "8", "--num-layers", "1", "--batch-size", "4", "--bptt", "10"),
    *("--epochs", "5", "--seed", "410", "--learning-rate", "2", "--non-monotone-interval", "1"),
]


def write_text(directory):
    """65, 101 and 21 tokens. What is frequent in training is rare in validation: averaging begins after epoch 3."""
    rng = np.random.default_rng(1)
    rates = np.arange(1.0, 9.0) / 36
    directory.mkdir()
    for split, lines, p in (("train", 13, rates), ("valid", 20, rates[::-1]), ("test", 4, rates[::-1])):
        text = "".join(" ".join(rng.choice(list("abcdefgh"), size=4, p=p)) + "\n" for _ in range(lines))
        (directory / f"{split}.txt").write_text(text + "a\n" * (split != "train"), encoding="utf-8")


def start(*arguments, log, limit=None):
    """Runs `awd-keras` in a process of its own; returns its id."""
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        output = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        status = cli.main([str(argument) for argument in arguments])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def wait(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill(child, directory, moment, rng, writing):
    """Sends SIGKILL after `moment` seconds, or, if `writing`, in the first write of a file after that."""
    end = time.monotonic() + moment
    while time.monotonic() < end or (writing and not any(directory.glob(".writing-*"))):
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
    if writing:
        time.sleep(rng.random() * 0.004)
    os.kill(child, signal.SIGKILL)
    return wait(child)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--directory", type=Path, default=None)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = options.directory or Path(tempfile.mkdtemp(prefix="awd_keras_kill_"))
    rng = random.Random(options.seed)
    data, log, whole = folder / "data", folder / "log", folder / "whole"
    write_text(data)
    new = ["train", "--data", data, *OPTIONS, "--output"]
    assert wait(start(*new, whole, log=log)) == 0, log.read_text()
    began = time.monotonic()
    assert wait(start(*new, folder / "again", log=log)) == 0, log.read_text()
    seconds = time.monotonic() - began
    expected = contents(whole)
    run = runs.Run.open(whole)
    print(f"a run takes {seconds:.1f} s; averaging begins after epoch {run.result['triggered_epoch']}")
    same = not differences(contents(folder / "again"), expected)
    print(f"run a second time: {'every bit the same' if same else 'NOT THE SAME'}")

    tried = equal = in_writing = 0
    epochs = []
    while tried < options.kills:
        directory = folder / f"killed-{tried}"
        writing = rng.random() < 0.5
        child = start(*new, directory, log=log)
        if kill(child, directory, rng.random() * seconds, rng, writing) != -signal.SIGKILL:
            continue  # It had ended by itself.
        tried += 1
        in_writing += any(directory.glob(".writing-*"))
        checkpoints = runs.Checkpoints(directory).paths()
        epochs.append(checkpoints[0].stem.removeprefix("checkpoint-") if checkpoints else "-")
        command = ["train", "--resume", directory] if (directory / "config.json").exists() else [*new, directory]
        status = wait(start(*command, log=log))
        wrong = differences(contents(directory), expected)
        if status or wrong:
            print(f"killed-{tried - 1}: status {status}, differs in {wrong}\n{log.read_text()}")
        else:
            equal += 1
    hit = ", ".join(f"{epochs.count(epoch)} at {epoch}" for epoch in sorted(set(epochs)))
    print(f"{equal} of {tried} killed runs went on to every bit of the uninterrupted one")
    print(f"{in_writing} were killed while a file was being written; last checkpoint: {hit}")
    return 0 if same and equal == tried else 1


if __name__ == "__main__":
    sys.exit(main())

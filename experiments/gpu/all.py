"""Does all that needs a GPU, in calls of a few minutes each: tests, benchmarks, then training, which takes longest.

Stages start only in the first third of a call, and each takes at most a third: at least the last third of every call is
for training. A stage that has ended, with or without success, or was stopped, isn't run again. --out gets stages.zip,
with the output and the results of the stages so far, and the files of train_minutes.py.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import time

from common import FLOAT32, HERE, ROOT, SITE

PYTHON = sys.executable
# The tests that run the framework. The results of the others don't depend on the machine.
TESTED = [f"backends_tests/{name}" for name in ("backend", "layers", "losses", "optimizers", "models", "evaluation")]
BENCHMARKS = ("training_step", "inference", "memory", "parts")
STAGES = HERE / "stages"
# Seconds that are left to copy the results.
RESERVE = 40


def stages():
    """Name, backend and command of each stage before training, in order."""
    for backend in ("torch", "jax"):
        yield f"tests-{backend}", backend, [PYTHON, "-m", "pytest", "-q", *TESTED]
    for name in BENCHMARKS:
        script = str(ROOT / "benchmarks" / f"{name}.py")
        figures = str(STAGES / f"{name}.json")
        yield name, "torch", [PYTHON, script, "--backend", "torch", "jax", "--json", figures]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True, metavar="M", help="that this call may last")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR", help="what is brought back")
    parser.add_argument("--train-only", action="store_true", help="without tests and benchmarks")
    options = parser.parse_args()
    began, seconds = time.monotonic(), 60 * options.minutes - RESERVE
    options.out.mkdir(parents=True, exist_ok=True)
    STAGES.mkdir(parents=True, exist_ok=True)
    for name, backend, command in () if options.train_only else stages():
        if time.monotonic() - began < seconds / 3:
            run(name, backend, command, seconds / 3)
    shutil.make_archive(str(options.out / "stages"), "zip", STAGES)
    minutes = (began + seconds - time.monotonic()) / 60
    # In less time, training would hardly get beyond its start.
    if minutes > 1:
        script = str(pathlib.Path(__file__).with_name("train_minutes.py"))
        command = [PYTHON, script, f"--minutes={minutes:.2f}", f"--out={options.out}"]
        subprocess.run(command, env=environment("torch"), check=True)


def run(name, backend, command, seconds):
    """Runs a stage for at most this number of seconds, unless an earlier call has run it."""
    status = STAGES / f"{name}.status"
    if status.exists():
        return
    print(f"{name} ...", flush=True)
    with open(STAGES / f"{name}.log", "w", encoding="utf-8") as log:
        try:
            done = subprocess.run(
                command, env=environment(backend), cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, timeout=seconds
            )
            said = f"status {done.returncode}"
        except subprocess.TimeoutExpired:
            said = f"stopped after {seconds:.0f} seconds"
    status.write_text(f"{said}\n", encoding="utf-8")
    print(f"{name}: {said}")


def environment(backend):
    path = os.pathsep.join([str(SITE), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**FLOAT32, **os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": path, "MPLBACKEND": "agg"}


if __name__ == "__main__":
    main()

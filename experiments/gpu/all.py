"""All that a GPU is wanted for, in calls of some minutes each: tests, benchmarks, then training, which is the longest.

Stages are begun in a call's first third, and each has a third of the call at most: the last third at least is for
training, in every call. A stage that has ended, well or not, or was stopped, isn't run again. Into --out go stages.zip,
what the stages have said and measured so far, and what train_minutes.py brings back.
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
# Those that run the framework; the others hold on any machine.
TESTED = [f"backends_tests/{name}" for name in ("backend", "layers", "losses", "optimizers", "models", "evaluation")]
BENCHMARKS = ("training_step", "inference", "memory", "parts")
STAGES = HERE / "stages"
# Seconds to bring the results back.
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
    # In less than that, little is trained but the start.
    if minutes > 1:
        script = str(ROOT / "benchmarks" / "gpu" / "train_minutes.py")
        command = [PYTHON, script, f"--minutes={minutes:.2f}", f"--out={options.out}"]
        subprocess.run(command, env=environment("torch"), check=True)


def run(name, backend, command, seconds):
    """Runs a stage for so many seconds at most, unless another call has."""
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

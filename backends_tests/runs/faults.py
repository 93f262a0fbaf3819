"""Breaks training runs in other processes, resumes each, and compares it with an uninterrupted run.

    python backends_tests/runs/faults.py --kills 30

It tries SIGKILL at random moments, half of them while a file is being written; SIGINT and SIGTERM; and a full disk. It
prints what was tried, and ends with status 1 if a run differs from the uninterrupted one in a single bit.
`nox -s faults` runs it on each backend.
"""

import argparse
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

# One thread, so that this process can be forked. Then a resumed run needn't import its framework again.
os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})
# With this cache, JAX compiles each program only in the first run.
compiled = tempfile.TemporaryDirectory(prefix="awd_keras_compiled_")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", compiled.name)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")

sys.path.insert(0, str(Path(__file__).parents[2]))
from awd_keras import cli, runs  # noqa: E402
from backends_tests.runs.small_run import EPOCHS, OPTIONS, contents, differences, write_text  # noqa: E402


class Process:
    """`awd-keras train` in another process, forked from this one.

    Args:
        arguments: the arguments after `train`.
        logs: the directory for its two output streams.
        limit: the largest size of a file that it can write, in bytes.
    """

    def __init__(self, *arguments, logs, limit=resource.RLIM_INFINITY):
        self.streams = [logs / "stdout", logs / "stderr"]
        self.id = os.fork()
        if self.id:
            return
        status = 70
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for number, stream in enumerate(self.streams, start=1):
                os.dup2(os.open(stream, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            status = cli.main(["train", *map(str, arguments)])
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)

    def has_ended(self):
        return os.waitid(os.P_PID, self.id, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait(self):
        return os.waitstatus_to_exitcode(os.waitpid(self.id, 0)[1])

    def stop(self, number):
        os.kill(self.id, number)
        return self.wait()

    def errors(self):
        return self.streams[1].read_text(encoding="utf-8")


class Faults:
    """The uninterrupted run, and the faults that are tried on equal runs."""

    def __init__(self, folder, seed):
        self.folder, self.random = folder, random.Random(seed)
        self.failed = 0
        write_text(folder / "data")
        self.run(folder / "first")
        began = time.monotonic()
        self.run(folder / "second")
        self.seconds = time.monotonic() - began
        self.expected = contents(folder / "first")
        epoch = runs.Run.open(folder / "first").result["triggered_epoch"]
        print(f"a run takes {self.seconds:.1f} s; averaging begins after epoch {epoch}")
        self.check("second", 0)

    def start(self, directory):
        return Process("--data", self.folder / "data", *OPTIONS, "--output", directory, logs=self.folder)

    def resume(self, directory, **limits):
        return Process("--resume", directory, logs=self.folder, **limits)

    def run(self, directory):
        process = self.start(directory)
        if process.wait() != 0:
            raise RuntimeError(process.errors())

    def check(self, name, status):
        wrong = differences(contents(self.folder / name), self.expected)
        if status or wrong:
            self.failed += 1
            print(f"{name} FAILED: status {status}, differs in {wrong}", (self.folder / "stderr").read_text())
        return not (status or wrong)

    def kill(self, count):
        tried = equal = in_writing = 0
        last = []
        while tried < count:
            directory = self.folder / f"killed-{tried}"
            process = self.start(directory)
            end = time.monotonic() + self.random.random() * self.seconds
            writing = self.random.random() < 0.5
            while time.monotonic() < end or (writing and not any(directory.glob(".writing-*"))):
                if process.has_ended():
                    break
                time.sleep(0.0005)
            if writing:
                time.sleep(self.random.random() * 0.004)
            if process.stop(signal.SIGKILL) != -signal.SIGKILL:
                continue  # it had already ended
            in_writing += any(directory.glob(".writing-*"))
            checkpoints = runs.Checkpoints(directory).paths()
            last.append(checkpoints[0].stem.removeprefix("checkpoint-") if checkpoints else "none")
            # If there was no run yet, the same command starts it again.
            again = self.resume if (directory / "config.json").exists() else self.start
            equal += self.check(f"killed-{tried}", again(directory).wait())
            tried += 1
        print(f"{equal} of {tried} killed runs went on to the last bit of the uninterrupted one")
        hit = ", ".join(f"{last.count(epoch)} after {epoch}" for epoch in sorted(set(last)))
        print(f"{in_writing} of them were killed while a file was being written; last checkpoints: {hit}")

    def stopped(self, name, number):
        """A run that a signal stops after an epoch, but before the last one. Returns process, status and directory."""
        directory = self.folder / name
        while True:
            process = self.start(directory)
            while not any(directory.glob("checkpoint-[1-9].keras")):
                time.sleep(0.001)
            status = process.stop(number)
            if not (directory / f"checkpoint-{EPOCHS}.keras").exists():
                return process, status, directory
            shutil.rmtree(directory)  # it ended before the signal

    def stop(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            process, status, directory = self.stopped(f"stopped-{number}", number)
            said = process.errors()
            if status != 128 + number or said.count("\n") != 1 or "checkpoint-" not in said:
                self.failed += 1
                print(f"FAILED: status {status}", said)
            self.check(directory.name, self.resume(directory).wait())
            print(said.strip().replace(str(self.folder), "..."))

    def fill(self):
        _, _, directory = self.stopped("full", signal.SIGKILL)
        # Metrics fit on the disk, a model doesn't.
        limit = min(path.stat().st_size for path in directory.glob("checkpoint-*.keras")) // 2
        process = self.resume(directory, limit=limit)
        status, said = process.wait(), process.errors()
        if status != 2 or said.count("\n") != 1 or "can't be written" not in said:
            self.failed += 1
            print(f"FAILED: status {status}", said)
        self.check("full", self.resume(directory).wait())
        print(said.strip().replace(str(self.folder), "..."))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="awd_keras_faults_") as folder:
        faults = Faults(Path(folder), options.seed)
        faults.kill(options.kills)
        faults.stop()
        faults.fill()
    print(f"{faults.failed} failed")
    return 1 if faults.failed else 0


if __name__ == "__main__":
    sys.exit(main())

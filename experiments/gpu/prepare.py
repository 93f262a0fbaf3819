"""Prepares a machine without internet for these scripts: run `fetch` where there is internet, `install` on the machine.

Packages that the machine has already, above all PyTorch, JAX and NumPy, aren't changed.
"""

import argparse
import importlib.metadata
import re
import shutil
import subprocess
import sys

from common import HERE, ROOT, SITE, TEXT, WHEELS

# Keras and the packages that it imports, then those that run the tests. NumPy comes with PyTorch.
PACKAGES = (
    *("keras", "optree", "absl-py", "h5py", "ml-dtypes", "namex", "packaging", "typing-extensions"),
    *("rich", "markdown-it-py", "mdurl", "pygments"),
    *("pytest", "iniconfig", "pluggy", "hypothesis", "sortedcontainers"),
    *("hatchling", "pathspec", "trove-classifiers"),
)
# All platforms whose wheels fit, as pip doesn't choose those of older ones by itself.
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (34, 31, 28, 27, 24, 17, 12, 5)]
PLATFORMS += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("fetch", help="download wheels, and copy a text")
    command.add_argument("--data", metavar="DIR", help="directory with train.txt, valid.txt and test.txt")
    command.add_argument("--python", default="3.12", help="the machine's version (default: %(default)s)")
    command.set_defaults(command=fetch)
    command = commands.add_parser("install", help="install those wheels that the machine lacks")
    command.set_defaults(command=install)
    options = parser.parse_args()
    options.command(options)


def fetch(options):
    shutil.rmtree(WHEELS, ignore_errors=True)
    WHEELS.mkdir(parents=True)
    pins = pinned((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(WHEELS)]
    command += ["--implementation", "cp", "--python-version", options.python]
    command += [f"--platform={platform}" for platform in PLATFORMS]
    subprocess.run([*command, "--quiet", *(pins.get(name, name) for name in PACKAGES)], check=True)
    if options.data is not None:
        TEXT.mkdir(exist_ok=True)
        for split in ("train", "valid", "test"):
            shutil.copy(f"{options.data}/{split}.txt", TEXT)
    for folder in (WHEELS, TEXT):
        size = sum(path.stat().st_size for path in folder.glob("*"))
        print(f"{folder.relative_to(ROOT)}: {size / 2**20:.1f} MiB")


def pinned(text):
    """`name==version` of each line of a file of constraints, by name."""
    return {line.partition("==")[0]: line for line in text.splitlines() if "==" in line and not line.startswith("#")}


def install(options):
    HERE.mkdir(parents=True, exist_ok=True)
    wheels = lacking(sorted(WHEELS.glob("*.whl")), installed())
    if wheels:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--upgrade"]
        subprocess.run([*command, "--target", str(SITE), *map(str, wheels)], check=True)
    print(f"installed {' '.join(name_of(wheel) for wheel in wheels) or 'nothing'}")
    print(f"export PYTHONPATH={SITE}:{ROOT}")


def installed():
    """The names of the distributions that this Python has, except those in `SITE`."""
    path = [entry for entry in sys.path if entry != str(SITE)]
    return {normal(found.metadata["Name"]) for found in importlib.metadata.distributions(path=path)}


def lacking(wheels, names):
    """The wheels of distributions that are neither among `names` nor installed in `SITE` by an earlier call."""
    wheels = [wheel for wheel in wheels if name_of(wheel) not in names]
    return [wheel for wheel in wheels if not (SITE / f"{'-'.join(wheel.name.split('-')[:2])}.dist-info").is_dir()]


def name_of(wheel):
    return normal(wheel.name.partition("-")[0])


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()

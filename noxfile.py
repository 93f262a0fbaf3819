"""Everything this project can be asked to do: `nox -l` lists it, `nox -s NAME` does it."""

import sys
import time
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import nox

nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests", "lint"]

# On Linux the CPU build of TensorFlow is enough for the tests and half the download.
TENSORFLOW = "tensorflow-cpu" if sys.platform == "linux" else "tensorflow"
# What exported models are run by, and what Keras's NumPy backend computes with (JAX brings it).
RUNTIMES = ["onnx", "onnxruntime", "scipy"]
INSTALL = {
    "torch": ["-e", ".[torch,test]", *RUNTIMES],
    "jax": ["-e", ".[jax,test]"],
    # Keras's TensorBoard callback takes TensorFlow on any backend: it is tested where there is one.
    "tensorflow": ["-e", ".[test]", TENSORFLOW, "tensorboard", "tf2onnx", *RUNTIMES],
}
# Formats of export whose tools are too large for the tests: jax2onnx brings fifty packages.
EXPORTERS = {
    "torch": ["openvino"],
    "jax": ["jax2onnx", TENSORFLOW, *RUNTIMES],
    "tensorflow": ["openvino"],
}

# A process a core. Neighbours stay together, as what they share takes long to make; who is done takes the other's last.
PARALLEL = ["--numprocesses", "auto", "--dist", "worksteal"]

# What of the suite every change runs: not what is slow and rare, and on one backend what asks nothing of it. `thorough`
# runs it all.
EVERY_DAY = {
    "torch": ["-m", "not thorough"],
    "jax": ["-m", "not thorough and not once"],
    "tensorflow": ["-m", "not thorough and not once"],
}

# XLA compiles a third faster without most of its optimizations, and the suite is mostly compiling on JAX.
# `thorough`, `older_processors` and `coverage`, once a week, have them.
QUICK = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}

# What keeps oneDNN (TensorFlow's products), PyTorch and XLA from what came after AVX2: AVX-512, products of bfloat16.
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "XLA_FLAGS": "--xla_cpu_max_isa=AVX2"}

# A line for each backend whose tests have been run, all shown after each.
DONE: list[str] = []

# What others' programs read, and the schema that it is held against.
SCHEMAS = {
    "github-workflows": ".github/workflows/*.yml",
    "github-issue-forms": ".github/ISSUE_TEMPLATE/[!c]*.yml",
    "citation-file-format": "CITATION.cff",
}


def environment(backend: str) -> dict[str, str]:
    """What the suite needs to know; conftest.py fails the run when the backend is another."""
    return {
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "MPLBACKEND": "agg",
        # The arrays are small, and on a busy machine PyTorch's threads wait for each other most of the time.
        "OMP_NUM_THREADS": "1",
        # What `install` leaves to the first process, the others have from it.
        "PYTHONDONTWRITEBYTECODE": "",
    }


def install(session: nox.Session, backend: str, *more: str) -> None:
    """Installs what the tests of a backend need.

    Not compiled: pip would compile all files, half of the time that it takes, and most of them nobody imports.
    """
    session.install("--no-compile", "-c", "constraints.txt", *INSTALL[backend], *more)


def counts(report: Path) -> str:
    """How many tests pytest's report has, and how many of them failed."""
    if not report.exists():
        return "no tests"
    found = [ElementTree.parse(report).find("testsuite").get(name) for name in ("tests", "failures", "errors")]
    return "{} tests, {} failed, {} errors".format(*found)


def minimum(extra: str) -> list[str]:
    """The oldest versions that pyproject.toml allows, for the package itself and one extra."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    floors = project["dependencies"] + project["optional-dependencies"][extra]
    return [floor.partition(",")[0].replace(">=", "==") for floor in floors]


@nox.session
def demo(session: nox.Session) -> None:
    """Train the tiny preset on the embedded corpus and write a few lines with it (no download)."""
    session.install("-c", "constraints.txt", "-e", ".[jax,plot]")
    train = "awd-keras train --preset tiny --backend jax --output runs/tiny --overwrite"
    generate = "awd-keras generate runs/tiny --words 60 --temperature 0.8 --seed 1 --prompt"
    session.run(*train.split())
    session.run(*generate.split(), "The value of the expression is")
    session.log(f"awd-keras is in {session.bin}: to call it by its name, source {session.bin}/activate")


@nox.session
@nox.parametrize("backend", [nox.param(name, id=name) for name in INSTALL])
def tests(session: nox.Session, backend: str) -> None:
    """Run every day's tests on one backend, warnings as errors; arguments after -- go to pytest (-n 0: one process)."""
    began = time.monotonic()
    install(session, backend)
    report = Path(session.create_tmp(), "report.xml")
    report.unlink(missing_ok=True)
    arguments = [*PARALLEL, *EVERY_DAY[backend], f"--junitxml={report}", *session.posargs]
    try:
        session.run("pytest", *arguments, env={**environment(backend), **QUICK})
    finally:
        DONE.append(f"{backend}: {counts(report)} in {(time.monotonic() - began) / 60:.1f} minutes, install included")
        print(*DONE, sep="\n", flush=True)


@nox.session
@nox.parametrize("backend", [nox.param(name, id=name) for name in INSTALL])
def thorough(session: nox.Session, backend: str) -> None:
    """Run all that there is on one backend: what is slow and rare too, and many more examples of each property."""
    install(session, backend)
    arguments = [*PARALLEL, "--hypothesis-profile", "thorough", *session.posargs]
    session.run("pytest", *arguments, env=environment(backend))


@nox.session
@nox.parametrize("backend", [nox.param(name, id=name) for name in INSTALL])
def older_processors(session: nox.Session, backend: str) -> None:
    """Run the whole suite as on a processor that has AVX2 and nothing newer."""
    install(session, backend)
    session.run("pytest", *PARALLEL, *session.posargs, env={**environment(backend), **AVX2})


@nox.session
@nox.parametrize("backend", [nox.param(name, id=name) for name in INSTALL])
def parity(session: nox.Session, backend: str) -> None:
    """Follow a training made of PyTorch's own modules step by step, and say how far apart the two are."""
    install(session, backend, "torch")
    session.run("pytest", "-rP", "backends_tests/parity/step_parity.py", *session.posargs, env=environment(backend))


@nox.session
@nox.parametrize("backend", [nox.param(name, id=name) for name in INSTALL])
def peers(session: nox.Session, backend: str) -> None:
    """Ask our classes what the suites of Keras, fastai, PyTorch-NLP, allennlp and gluon-nlp ask of theirs."""
    install(session, backend)
    files = [str(path) for path in Path("backends_tests/peers").glob("*.py")]
    session.run("pytest", *files, *session.posargs, env=environment(backend))


@nox.session
@nox.parametrize("backend", [nox.param(name, id=name) for name in INSTALL])
def faults(session: nox.Session, backend: str) -> None:
    """Kill 32 training runs at random moments, stop some by signals and a full disk, and let each go on."""
    install(session, backend)
    session.run("python", "backends_tests/runs/faults.py", "--kills", "32", *session.posargs, env=environment(backend))


@nox.session
@nox.parametrize("backend", [nox.param(name, id=name) for name in INSTALL])
def exports(session: nox.Session, backend: str) -> None:
    """Export a model's step to every format that Keras has on a backend, and run it in the format's own runtime."""
    install(session, backend, *EXPORTERS[backend])
    session.run("pytest", "backends_tests/backend/test_step_export.py", *session.posargs, env=environment(backend))


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Run a benchmark with all backends at hand: nox -s benchmarks -- training_step --json figures.json"""
    session.install("-c", "constraints.txt", "-e", ".[torch,jax]", TENSORFLOW)
    name, *arguments = session.posargs or ["training_step"]
    session.run("python", f"benchmarks/{name}.py", *arguments)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site in build/site, with every warning an error: nox -s docs, or nox -s docs -- serve"""
    session.install("-c", "constraints.txt", "mkdocs-material", "mkdocstrings[python]", "ruff")
    command = session.posargs or ["build"]
    # The theme tells of its successor at each build; docs/dependencies.md does too.
    session.run("mkdocs", *command, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
@nox.parametrize("extra", [nox.param(name, id=name) for name in ("torch", "jax", "tensorflow")])
def package(session: nox.Session, extra: str) -> None:
    """Build wheel and sdist, check them, and use the wheel with one extra where nothing else is installed."""
    session.install("-c", "constraints.txt", "build", "twine")
    session.run("python", "-m", "build", "--outdir", session.create_tmp())
    sdist, wheel = sorted(
        map(str, Path(session.create_tmp()).glob("awd_keras-*")), key=lambda name: name.endswith("whl")
    )
    session.run("twine", "check", "--strict", sdist, wheel)
    session.run("python", "-m", "venv", "--clear", "build/package")
    python = "build/package/bin/python"
    session.run(python, "-m", "pip", "install", "-c", "constraints.txt", f"{wheel}[{extra}]", external=True)
    with session.chdir(session.create_tmp()):  # not beside the sources
        session.run(str(Path(session.invoked_from, python)), "-m", "awd_keras", "verify", external=True)


@nox.session
@nox.parametrize("backend", [nox.param(name, id=name) for name in INSTALL])
def coverage(session: nox.Session, backend: str) -> None:
    """Say how much of the code the suites of the three backends run together: at least 95% of its lines."""
    install(session, backend, "coverage")
    own = {**environment(backend), "COVERAGE_FILE": str(Path("build/coverage", backend).absolute())}
    session.run("coverage", "erase", env=own)
    session.run("coverage", "run", "-m", "pytest", *session.posargs, env=own)
    session.notify("coverage_report")


@nox.session(default=False)
def coverage_report(session: nox.Session) -> None:
    """What the sessions of `coverage` that have been run say together."""
    session.install("-c", "constraints.txt", "coverage")
    own = {"COVERAGE_FILE": "build/coverage-of-all"}
    # File by file: of a directory, coverage takes those alone whose names begin like COVERAGE_FILE's.
    session.run("coverage", "combine", "--keep", *map(str, Path("build/coverage").iterdir()), env=own)
    session.run("coverage", "report", env=own)


@nox.session
def minimums(session: nox.Session) -> None:
    """Run the suite on JAX with the oldest versions that pyproject.toml allows."""
    session.install("-e", ".[jax,test]", *minimum("jax"))
    # Old releases warn about what came after them; that is no fault of ours.
    session.run("pytest", "-W", "default", "-m", "not thorough", *PARALLEL, *session.posargs, env=environment("jax"))


@nox.session
@nox.parametrize("backend", [nox.param(name, id=name) for name in INSTALL])
def next_keras(session: nox.Session, backend: str) -> None:
    """Try the Keras to come, from last night: first its private names that are used, then the suite."""
    session.install(*INSTALL[backend])
    # Two packages of one name of import.
    session.run("python", "-m", "pip", "uninstall", "--yes", "keras")
    session.install("keras-nightly")
    own = {**environment(backend), **QUICK}
    session.run("python", "-c", "import keras; print('Keras', keras.__version__)", env=own)
    session.run("pytest", "backends_tests/backend/test_keras_private.py", env=own)
    # A newer release may warn of what it will drop, which is worth a look and no failure.
    session.run("pytest", "-W", "default", *PARALLEL, *session.posargs, env=own)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types, spelling, and that no framework is imported outside awd_keras/backend."""
    session.install("-c", "constraints.txt", "ruff", "mypy", "numpy", "codespell", "check-jsonschema")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    # As a user's own file is: the package's are read for their types alone.
    session.run("mypy", "--strict", "--follow-imports=silent", "backends_tests/typed_use.py")
    session.run("codespell")
    for schema, files in SCHEMAS.items():
        session.run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, Path().glob(files)))

"""The rules about imports. The check of each rule is also run on code that breaks it, and must fail."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import awd_keras

PACKAGE = Path(awd_keras.__file__).parent
FRAMEWORKS = ("torch", "jax", "tensorflow")
OVERRIDES = sorted(path for name in FRAMEWORKS for path in (PACKAGE / "backend").rglob(f"{name}.py"))
OUTSIDE = sorted(path for path in PACKAGE.rglob("*.py") if (PACKAGE / "backend") not in path.parents)

# Only one framework is installed where the suite runs, so sys.modules alone would prove little:
# a finder that finds nothing notes every attempt. It comes after Keras, which tries JAX by itself.
PROBE = """
import sys
import keras

attempts = set()

class Note:
    @staticmethod
    def find_spec(name, path=None, target=None):
        attempts.add(name.partition(".")[0])

before = set(sys.modules)
sys.meta_path.insert(0, Note)
import {module}
new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print("FOUND", *sorted((attempts | new) & set({others!r})))
"""


def frameworks_imported_by(module: str, path: Path) -> list[str]:
    """The frameworks that a new process tries to import, except the one that Keras runs on."""
    others = [name for name in FRAMEWORKS if name != keras.backend.backend()]
    run = subprocess.run(
        [sys.executable, "-c", PROBE.format(module=module, others=others)],
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.rpartition("FOUND")[2].split()


def in_new_process(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout


def forbidden_imports(source: str) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in names if name.partition(".")[0] in FRAMEWORKS or f"{name}.".startswith("keras.src.")]


def asks_which_backend(source: str) -> list[str]:
    """The comparisons, matches and look-ups of `backend()` in the source."""

    def calls_backend(node: ast.AST) -> bool:
        return any(
            isinstance(call, ast.Call) and getattr(call.func, "attr", getattr(call.func, "id", None)) == "backend"
            for call in ast.walk(node)
        )

    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Compare() as part:
                pass
            case ast.Match(subject=part) | ast.Subscript(slice=part):
                pass
            case _:
                continue
        if calls_backend(part):
            found.append(ast.unparse(node))
    return found


def public_functions(source: str) -> dict[str, str]:
    """Each public function's parameters, in order, with their kinds and defaults."""
    functions = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            for argument in ast.walk(node.args):
                if isinstance(argument, ast.arg):
                    argument.annotation = None
            functions[node.name] = ast.unparse(node.args)
    return functions


def strange_overrides(overrides: dict[str, str], defaults: dict[str, str]) -> list[str]:
    return [name for name, parameters in overrides.items() if defaults.get(name) != parameters]


def passed_on(source: str) -> list[str]:
    """The functions that change nothing: they only call the default with the same arguments, or do nothing."""
    found = []
    for node in ast.parse(source).body:
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_") or node.decorator_list:
            continue
        body = node.body[1:] if ast.get_docstring(node) else node.body
        call = getattr(body[0], "value", None) if body else None
        same = [argument.arg for argument in node.args.args]
        if not body or (
            isinstance(call, ast.Call)
            and ast.unparse(call.func) == f"generic.{node.name}"
            and [ast.unparse(argument) for argument in call.args] == same
        ):
            found.append(node.name)
    return found


def test_import_takes_no_other_framework():
    assert frameworks_imported_by("awd_keras", PACKAGE.parent) == []


@pytest.mark.once
def test_an_import_of_another_framework_is_noticed(tmp_path):
    other = next(name for name in FRAMEWORKS if name != keras.backend.backend())
    (tmp_path / "offender.py").write_text(
        f"try:\n    from {other} import nn\nexcept ImportError:\n    pass\n", encoding="utf-8"
    )
    assert frameworks_imported_by("offender", tmp_path) == [other]


@pytest.mark.once
@pytest.mark.parametrize(
    "first",
    [
        "import keras; import awd_keras",
        "from awd_keras import cli; import keras",
        # Each case starts a process, which takes seconds.
        pytest.param("import awd_keras; import keras", marks=pytest.mark.thorough),
        pytest.param("from awd_keras.layers import LockedDropout", marks=pytest.mark.thorough),
        pytest.param("import awd_keras.checks", marks=pytest.mark.thorough),
    ],
)
def test_every_class_is_registered_whatever_is_imported_first(first):
    found = in_new_process(f"{first}\nimport keras\nprint(*sorted(keras.saving.get_custom_objects()))")
    registered = {
        name for name, cls in keras.saving.get_custom_objects().items() if cls.__module__.startswith("awd_keras.")
    }
    assert set(found.split()) == registered
    assert len(registered) > 12


@pytest.mark.once
def test_keras_is_found_as_it_was():
    found = in_new_process("import awd_keras, keras, keras.src\nprint(keras.__spec__.loader, keras.__loader__)")
    assert found.count("SourceFileLoader") == 2


@pytest.mark.once
def test_the_package_alone_imports_no_keras():
    assert in_new_process("import awd_keras, awd_keras.cli, sys\nprint('keras' in sys.modules)") == "False\n"
    assert in_new_process("import awd_keras\nprint(awd_keras.layers.LockedDropout.__name__)") == "LockedDropout\n"


@pytest.mark.once
def test_nothing_asks_how_the_process_was_started():
    asking = [path for path in PACKAGE.rglob("*.py") if "argv" in path.read_text(encoding="utf-8")]
    # It only reads which backend is loaded.
    assert [str(path.relative_to(PACKAGE)) for path in asking] == ["cli/main.py"]


@pytest.mark.once
@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_frameworks_only_under_backend(path):
    source = path.read_text(encoding="utf-8")
    assert forbidden_imports(source) == []
    assert asks_which_backend(source) == []


@pytest.mark.once
@pytest.mark.parametrize(
    "source",
    [
        "import torch",
        "import numpy, jax.numpy as jnp",
        "def f():\n    from tensorflow import function",
        "from keras import src",
        "from keras.src.layers import LSTM",
        "import keras.src",
    ],
)
def test_forbidden_imports_are_noticed(source):
    assert len(forbidden_imports(source)) == 1


@pytest.mark.once
def test_allowed_imports_pass():
    assert forbidden_imports("import keras\nfrom keras import ops\nfrom . import torch") == []


@pytest.mark.once
@pytest.mark.parametrize(
    "source",
    [
        "if keras.backend.backend() == 'jax': pass",
        "x = backend() in ('jax', 'torch')",
        "match keras.config.backend():\n    case 'jax': pass",
        "f = {'jax': 1}[keras.backend.backend()]",
    ],
)
def test_questions_about_the_backend_are_noticed(source):
    assert len(asks_which_backend(source)) == 1


@pytest.mark.once
def test_naming_the_backend_passes():
    assert asks_which_backend("config['backend'] = keras.backend.backend()") == []


@pytest.mark.once
@pytest.mark.parametrize("path", OVERRIDES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_framework_overrides_defaults_and_passes_nothing_on(path):
    defaults = public_functions(path.with_name("generic.py").read_text(encoding="utf-8"))
    source = path.read_text(encoding="utf-8")
    assert strange_overrides(public_functions(source), defaults) == []
    assert passed_on(source) == []


@pytest.mark.once
@pytest.mark.parametrize("other", ["def f(a, b=None): ...", "def f(a, *, b=1): ...", "def g(a, *, b=None): ..."])
def test_other_names_and_signatures_are_noticed(other):
    defaults = public_functions("def f(a: int, *, b=None) -> int: ...\ndef _g(): ...")
    assert strange_overrides(public_functions("def _h(x): ...\ndef f(a, *, b=None): ..."), defaults) == []
    assert strange_overrides(public_functions(other), defaults) == [other[4]]


@pytest.mark.once
@pytest.mark.parametrize(
    "source",
    [
        "def f(a, b):\n    return generic.f(a, b)",
        'def f(a, b):\n    """As there."""\n    generic.f(a, b)',
        'def f(a, b):\n    """Nothing."""',
    ],
)
def test_what_is_passed_on_is_noticed(source):
    assert passed_on(source) == ["f"]
    assert (
        passed_on(source.replace("generic.f(a, b)", "generic.f(a, 2 * b)").replace('"""Nothing."""', "return a")) == []
    )

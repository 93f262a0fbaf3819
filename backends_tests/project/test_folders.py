"""The rules of `docs/design.md` and `CONTRIBUTING.md`: which folder may import which, and how long a file may be.

The table of `docs/design.md` is read here. Each check is also run on something that breaks the rule, and must fail.
"""

import ast
import collections
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "awd_keras"
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
# Modules that run before Keras is imported, and only know other modules' names.
BEFORE_KERAS = ("__init__", "__main__", "_version", "_with_keras")
FRAMEWORKS = ("generic.py", "jax.py", "tensorflow.py", "torch.py")


def table(page):
    """The rows of the table of folders, in their order."""
    rows = re.findall(r"^\| `(\w+)` \| ?(.*?) ?\|$", page, re.MULTILINE)
    return {folder: set(re.findall(r"`(\w+)`", others)) for folder, others in rows}


def folder(path):
    """A file's folder in the package, or the file itself if it isn't in a folder."""
    return path.parts[0] if len(path.parts) > 1 else path.stem


def imported_folders(source):
    found = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                paths = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), names=names):
                paths = [f"{module}.{alias.name}" for alias in names]
            case _:
                continue
        found |= {path.split(".")[1] for path in paths if path.startswith("awd_keras.")}
    return found


def imports():
    """The folders that each folder imports, without the version."""
    found = collections.defaultdict(set)
    for path in FILES:
        if folder(path) not in BEFORE_KERAS:
            others = imported_folders((PACKAGE / path).read_text(encoding="utf-8"))
            found[folder(path)] |= others - {folder(path), "_version"}
    return dict(found)


def imports_back(folders):
    """Imports of a folder that comes later in the table."""
    order = list(folders)
    return [(one, other) for one in order for other in folders[one] if order.index(other) >= order.index(one)]


FOLDERS = table((ROOT / "docs/design.md").read_text(encoding="utf-8"))


def test_folders_import_what_the_table_says():
    assert imports() == FOLDERS


def test_no_import_goes_back():
    assert imports_back(FOLDERS) == []


def test_no_file_is_long():
    lengths = {str(path): len((PACKAGE / path).read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {path: lines for path, lines in lengths.items() if lines > 300} == {}


def test_no_two_files_have_one_name():
    counts = collections.Counter(path.name for path in FILES if path.name not in ("__init__.py", *FRAMEWORKS))
    assert [name for name, count in counts.items() if count > 1] == []


def test_a_table_is_read():
    assert table("| folder | what |\n| --- | --- |\n| `a` | |\n| `b` | `a`, `c` |\n") == {"a": set(), "b": {"a", "c"}}


@pytest.mark.parametrize(
    "source",
    [
        "from awd_keras import layers",
        "import awd_keras.layers.locked_dropout",
        "def f():\n    from awd_keras.layers import LockedDropout",
    ],
)
def test_an_import_is_seen(source):
    assert imported_folders(source) == {"layers"}


def test_an_arrow_back_is_seen():
    assert imports_back({"a": set(), "b": {"a"}}) == []
    assert imports_back({"a": {"b"}, "b": set()}) == [("a", "b")]

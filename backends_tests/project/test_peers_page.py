"""docs/peers.md has a row for each test in backends_tests/peers, and no other rows."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_has_the_tests():
    named = re.findall(r"`(\w+\.py::test_\w+)`", (ROOT / "docs" / "peers.md").read_text(encoding="utf-8"))
    written = [
        f"{path.name}::{node.name}"
        for path in (ROOT / "backends_tests" / "peers").glob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert len(written) > 30
    assert sorted(named) == sorted(written)

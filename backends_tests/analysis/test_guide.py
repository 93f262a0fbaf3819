"""docs/guides/inside_the_lstm.md shows equations and code: the code is that of the library, line by line."""

import inspect
import re
from pathlib import Path

import pytest

from awd_keras.analysis import gate_activations, memory_weights

pytestmark = pytest.mark.once

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "inside_the_lstm.md"


def test_the_code_beside_the_equations():
    source = inspect.getsource(gate_activations) + inspect.getsource(memory_weights)
    lines = [line.strip() for line in source.splitlines()]
    rows = re.findall(r"^\| .* \| `(.*)` \|$", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(rows) == 10
    places = [lines.index(row) for row in rows]
    assert places == sorted(places)  # the lines are in the order in which they run

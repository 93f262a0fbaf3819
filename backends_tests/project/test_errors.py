"""Errors of arguments are always ValueErrors, as in Keras."""

import ast
from pathlib import Path

import awd_keras


def type_errors(source):
    raised = (node.exc for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Raise) and node.exc)
    return [node for node in raised if ast.unparse(node).startswith("TypeError")]


def test_no_type_error_is_raised():
    assert type_errors('raise TypeError(f"Argument")')
    for path in Path(awd_keras.__file__).parent.rglob("*.py"):
        assert not type_errors(path.read_text(encoding="utf-8")), path

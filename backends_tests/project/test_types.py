"""All functions that users call have types, as py.typed promises. Those that Keras calls, such as `call`, have none."""

import ast
import inspect
from pathlib import Path

import pytest

import awd_keras

# Methods of Keras that users call too.
METHODS = [
    "build",
    "compile",
    "fit",
    "evaluate",
    "predict",
    "train_on_batch",
    "test_on_batch",
    "predict_on_batch",
    "export",
    # In a custom training loop.
    "__call__",
    "apply",
    "update_state",
    "result",
    "__enter__",
    "__exit__",
]


def public():
    for namespace in awd_keras.__all__:
        module = getattr(awd_keras, namespace)
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value):
                yield f"{namespace}.{name}", value
            elif inspect.isclass(value):
                yield from of_class(f"{namespace}.{name}", value)


def of_class(path, cls):
    """The constructor of a class, and its methods that users call."""
    others = [base for base in cls.__mro__ if not base.__module__.startswith("awd_keras")]
    for name, value in vars(cls).items():
        value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        own = not name.startswith("_") and not any(hasattr(base, name) for base in others)
        if inspect.isfunction(value) and (name in ("__init__", "get_config", *METHODS) or own):
            yield f"{path}.{name}", value


def lacking(function):
    """The parameters without a type, and "return" if its type is missing. A constructor with parameters needs none."""
    signature = inspect.signature(function)
    parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    found = [p.name for p in parameters if p.annotation is p.empty]
    returns_none = function.__name__ == "__init__" and parameters
    return found if returns_none or signature.return_annotation is not signature.empty else [*found, "return"]


@pytest.mark.parametrize(("path", "function"), list(public()), ids=lambda value: value if type(value) is str else "")
def test_what_a_user_calls_has_types(path, function):
    assert lacking(function) == []


def test_typed_use_has_every_public_name():
    """`mypy --strict`, in `nox -s lint`, checks the calls of these names in typed_use.py."""
    tree = ast.parse(Path(__file__).parents[1].joinpath("typed_use.py").read_text(encoding="utf-8"))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names = {name for namespace in awd_keras.__all__ for name in getattr(awd_keras, namespace).__all__}
    assert names - used == set()


def test_the_check_finds_what_lacks_types():
    def bare(a, b: int, *, c=1):
        pass

    class Half:
        def __init__(self, a):
            pass

        def _private(self, a):
            pass

    assert lacking(bare) == ["a", "c", "return"]
    assert [(path, lacking(function)) for path, function in of_class("Half", Half)] == [("Half.__init__", ["a"])]

"""The examples in the docstrings, which give the same results on every backend.

They run from here, not by pytest's own option, so that each starts with the seed and the settings of conftest.py, as
every other test does.
"""

import doctest
import importlib
import pkgutil

import pytest

import awd_keras

# Importing these has effects: a backend file imports its framework, __main__ runs a command.
LEFT_OUT = ("awd_keras.backend.", "awd_keras.__main__")
MODULES = [
    module.name
    for module in pkgutil.walk_packages(awd_keras.__path__, "awd_keras.")
    if not module.name.startswith(LEFT_OUT)
]
# Namespaces that compute on a backend. The examples of others run daily on one backend only.
ON_EACH = ("callbacks", "layers", "losses", "metrics", "models", "optimizers", "regularizers")
EXAMPLES = [
    pytest.param(example, id=example.name, marks=[] if name.split(".")[1] in ON_EACH else pytest.mark.once)
    for name in MODULES
    for example in doctest.DocTestFinder().find(importlib.import_module(name), name)
    if example.examples
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_example(example):
    report = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=report.append)
    assert not report, "".join(report)


def test_a_wrong_example_is_noticed():
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, None)
    with pytest.raises(AssertionError, match="Expected"):
        test_example(wrong)

"""Imports the namespaces together with Keras, or with the first module of the package that imports it."""

import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence

# The modules of the package that run before Keras is imported.
_WITHOUT_KERAS = ("__main__", "_version", "cli", "output")


def import_with_keras(namespaces: Sequence[str]) -> None:
    """Imports the package's namespaces now if Keras is imported already, and otherwise right after it is.

    Args:
        namespaces: their names, within the package.
    """
    if "keras" in sys.modules:
        _import(namespaces)
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder(namespaces))


def _import(namespaces):
    for name in namespaces:
        importlib.import_module(f"{__package__}.{name}")


class _Finder(importlib.abc.MetaPathFinder):
    """Waits for the first import of Keras, or of a module of the package that imports it; then imports the namespaces.

    They come after that import has ended, as nothing can be imported from a module that is half imported.
    """

    def __init__(self, namespaces):
        self.namespaces = namespaces

    def find_spec(self, name, path=None, target=None):
        package, _, module = name.partition(".")
        if name != "keras" and (package != __package__ or module.partition(".")[0] in _WITHOUT_KERAS):
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec, self.namespaces)
        return spec


class _Loader(importlib.abc.Loader):
    """Loads a module as its own loader does, and then the namespaces."""

    def __init__(self, spec, namespaces):
        self.spec = spec
        self.loader = spec.loader
        self.namespaces = namespaces

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        self.spec.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        _import(self.namespaces)

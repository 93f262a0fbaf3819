"""Empty modules instead of frameworks: everything can be imported from them, and computes nothing."""

import importlib.abc
import importlib.machinery
import sys
import types


class _Empty(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        # Decorators and base classes are used on import.
        return type(name, (), {"__init__": lambda self, *args, **kwargs: None})


class _StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, names):
        self.names = names

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return _Empty(spec.name)

    def exec_module(self, module):
        pass


def stand_in_for(*names):
    """Makes imports of these packages give empty modules from now on."""
    sys.meta_path.insert(0, _StandIns(names))

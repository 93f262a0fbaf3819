"""Has the site show docstrings' examples as code, and arguments of a call as a list.

Used by mkdocs.yml.
"""

import re

import griffe

_EXAMPLE = re.compile(r"(?:^>>> .*\n(?:^(?!\s*$).*\n?)*)+", re.MULTILINE)
_CALL = re.compile(r"^Call arguments:\n((?:    .*\n)+)", re.MULTILINE)
_ARGUMENT = re.compile(r"^    (\w+): ", re.MULTILINE)


def _list_of(match):
    items = _ARGUMENT.sub("- **`\\1`** \N{EN DASH} ", match[1])
    return f"**Call arguments:**\n\n{items}"


class FenceDoctests(griffe.Extension):
    """Puts a fence around each run of `>>>` lines and what they print.

    "Call arguments:" is Keras's own section of a docstring, which griffe doesn't know.
    """

    def on_instance(self, *, obj, **_):
        if obj.docstring and ">>> " in obj.docstring.value:
            text = obj.docstring.value + "\n"
            obj.docstring.value = _EXAMPLE.sub(
                lambda match: f"```pycon\n{match[0].rstrip()}\n```\n", text
            )
        if obj.docstring:
            obj.docstring.value = _CALL.sub(_list_of, obj.docstring.value)


class FunctionsOverModules(griffe.Extension):
    """Lists a function that a package imports from its module of the same name.

    For griffe, which runs no import, `generation.generate` is the module.
    """

    def on_package(self, *, pkg, **_):
        for package in pkg.members.values():
            if not isinstance(package, griffe.Module):
                continue
            for name, path in package.imports.items():
                module = package.members.get(name)
                if (
                    isinstance(module, griffe.Module)
                    and path == f"{module.path}.{name}"
                ):
                    self.put_before(module, name)

    def put_before(self, module, name):
        package = module.parent
        for alias in package.members.values():
            if alias.is_alias and alias.target_path.startswith(f"{module.path}."):
                alias.target = module.members[alias.target_path.split(".")[-1]]
        function = griffe.Alias(name, module.members[name], parent=package)
        package.members[name] = function

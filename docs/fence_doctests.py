"""Has the site show the examples in docstrings as code; used by mkdocs.yml."""

import re

import griffe

_EXAMPLE = re.compile(r"(?:^>>> .*\n(?:^(?!\s*$).*\n?)*)+", re.MULTILINE)


class FenceDoctests(griffe.Extension):
    """Puts a fence around each run of `>>>` lines and what they print."""

    def on_instance(self, *, obj, **_):
        if obj.docstring and ">>> " in obj.docstring.value:
            text = obj.docstring.value + "\n"
            obj.docstring.value = _EXAMPLE.sub(
                lambda match: f"```pycon\n{match[0].rstrip()}\n```\n", text
            )

"""What the site's build does besides; used by mkdocs.yml."""

import ast
import logging
import re
from pathlib import Path

_LOG = logging.getLogger("mkdocs.site_hooks")
_SHORT = re.compile(r"<code>([^<]{1,32})</code>")


def on_page_content(html, page, **_):
    """Marks short names and options, and warns where the reference lacks a public name.

    stylesheets/extra.css keeps the names in one line: a browser would break an option
    between its two hyphens.
    """
    folder, _, namespace = page.file.src_uri.removesuffix(".md").partition("/")
    if folder == "reference":
        init = Path("awd_keras", namespace, "__init__.py").read_text(encoding="utf-8")
        for name in public_names(init):
            if not re.search(rf'id="awd_keras\.{namespace}\.{name}[".]', html):
                _LOG.warning("%s doesn't have %s", page.file.src_uri, name)
    return _SHORT.sub(r'<code class="whole">\1</code>', html)


def public_names(init):
    """What `__all__` of a namespace lists."""
    for node in ast.parse(init).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__":
            return ast.literal_eval(node.value)
    return []

"""What the site's build does besides; used by mkdocs.yml."""

import ast
import logging
import re
from pathlib import Path

_LOG = logging.getLogger("mkdocs.site_hooks")
_INLINE = re.compile(r"<code>([^<\n]+)</code>")
_OPTION = re.compile(r"--[\w-]+")


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
    return _INLINE.sub(marked, html)


def marked(code):
    """A short name or command as a whole, of a longer one its options."""
    if len(code[1]) <= 32:
        return f'<code class="whole">{code[1]}</code>'
    return _OPTION.sub(r'<span class="whole">\g<0></span>', code[0])


def public_names(init):
    """What `__all__` of a namespace lists."""
    for node in ast.parse(init).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__":
            return ast.literal_eval(node.value)
    return []

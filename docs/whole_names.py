"""Has the site keep a short name or option in one line; used by mkdocs.yml.

A browser would break an option between its two hyphens.
"""

import re

_SHORT = re.compile(r"<code>([^<]{1,32})</code>")


def on_page_content(html, **_):
    """Marks the names, for stylesheets/extra.css."""
    return _SHORT.sub(r'<code class="whole">\1</code>', html)

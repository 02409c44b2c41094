"""For MkDocs: links that lead out of docs/ go to the repository where its address is known, and are words elsewhere."""

import os
import posixpath
import re

LINK = re.compile(r"(?<!!)\[(?P<words>[^\]]+)\]\((?P<target>(?:\.\./)+[^)#\s]*)(?P<anchor>#[^)]*)?\)")
HOME = os.environ.get("DEEPHASH_HOME_URL", "").rstrip("/")


def on_page_markdown(markdown, page, **_):
    """Change the links of one page."""
    here = posixpath.dirname(posixpath.join("docs", page.file.src_uri))

    def changed(found):
        place = posixpath.normpath(posixpath.join(here, found["target"]))
        if place.startswith("docs/"):
            return found[0]
        address = f"{HOME}/blob/main/{place}{found['anchor'] or ''}"
        return f"[{found['words']}]({address})" if HOME else found["words"]

    return LINK.sub(changed, markdown)

"""For mkdocstrings: roles in docstrings, as ``:func:`~deephash.evaluate```, become the names they mean."""

import re

from griffe import Extension

ROLE = re.compile(r":(?:func|class|meth|attr|mod|data|exc):`(?P<title>[^<`]*)(?:<[^`]*>)?`")


class PlainRoles(Extension):
    """Rewrites every docstring before it is parsed."""

    def on_object(self, *, obj, **_):
        """Rewrite the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = ROLE.sub(_name, obj.docstring.value).replace("``", "`")


def _name(found):
    title = found["title"].strip()
    return f"`{title.rsplit('.', 1)[-1] if title.startswith('~') else title}`"

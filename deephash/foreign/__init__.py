"""Below all floors: the doors through which files of strangers come in, checked before anything of them is used.

:mod:`~deephash.foreign.files` opens regular files only and reads no more than a limit;
:mod:`~deephash.foreign.documents` reads JSON by the schemas in ``schemas/``; :mod:`~deephash.foreign.arrays` reads
``.npz`` and ``.npy`` after their headers were held against the bytes that are there. What does not pass is an
:class:`Unfit` with one sentence. :mod:`~deephash.foreign.trust` decides whose code may run,
:mod:`~deephash.foreign.packages` finds what installed packages declare.
"""

from deephash.foreign.arrays import read_npy, read_npz
from deephash.foreign.documents import SMALL, parse_json, read_if_there, read_json, require_schema, require_version
from deephash.foreign.files import Absent, Unfit, read_bytes, refused_as, require_plausible, require_regular
from deephash.foreign.trust import trust

__all__ = [
    "SMALL",
    "Absent",
    "Unfit",
    "parse_json",
    "read_bytes",
    "read_if_there",
    "read_json",
    "read_npy",
    "read_npz",
    "refused_as",
    "require_plausible",
    "require_regular",
    "require_schema",
    "require_version",
    "trust",
]

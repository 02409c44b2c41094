"""Where a collection under ``s3://`` lies on this machine: its copy's path says its address, and the other way round.

``s3://bucket/sets/x.dh`` has its small files under ``~/.cache/deephash/s3/ENDPOINT/bucket/sets/x.dh``. Every part of
deephash that is given a folder may be given that one; the rows are never copied.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from deephash.collection.sources.store import SCHEME, checked_address
from deephash.errors import UsageError

SUFFIX = ".dh"
_DEFAULT = "aws"  # in place of an endpoint, where the environment names none


def is_stored_name(where: str | Path) -> bool:
    """Say whether a text is the address of a collection in an object store; pictures there end otherwise."""
    return str(where).startswith(SCHEME) and str(where).rstrip("/").endswith(SUFFIX)


def copy_of(address: str) -> Path:
    """Return the folder for the small files of a collection. Raises UsageError for an address that cannot be one."""
    address = checked_address(address)
    if not address.endswith(SUFFIX) or address.count("/") < 3:
        raise UsageError(f"{address}: a collection in an object store is s3://BUCKET/NAME{SUFFIX}")
    return _home() / _endpoint() / address.removeprefix(SCHEME)


def address_of(folder: Path) -> str | None:
    """Return the address of the collection whose copy ``folder`` is; None for a folder that is itself the collection.

    Raises:
        UsageError: it is a copy from another endpoint than the environment names.
    """
    home = _home()
    folder = folder.absolute()
    if not folder.is_relative_to(home) or not folder.name.endswith(SUFFIX):  # what lies in a copy is none itself
        return None
    endpoint, *parts = folder.relative_to(home).parts
    if endpoint != _endpoint():
        raise UsageError(
            f"{folder} is a copy from the object store {endpoint}, and AWS_ENDPOINT_URL names {_endpoint()}; set it, "
            f"or give the address: {SCHEME}{'/'.join(parts)}"
        )
    return SCHEME + "/".join(parts)


def options() -> dict[str, str]:
    """Return what Lance is told about the store beyond what it reads from the environment itself."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    return {"aws_endpoint": endpoint, "allow_http": "true"} if endpoint.startswith("http://") else {}


def _home() -> Path:
    """Return the folder of all copies."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(cache).absolute() / "deephash" / "s3"


def _endpoint() -> str:
    return urlsplit(os.environ.get("AWS_ENDPOINT_URL", "")).netloc.replace(":", "_") or _DEFAULT

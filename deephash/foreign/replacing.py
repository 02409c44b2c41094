"""Put a file or folder in another's place; where a system does not let go of open ones, wait, and then say so."""

from __future__ import annotations

import os
import time
from pathlib import Path

from deephash.errors import CollectionError

_PATIENCE = 5.0  # seconds: of a virus scanner, or of a search that reads the old one at this moment
_REFUSES = os.name == "nt"


def put_in_place(fresh: Path, target: Path, *, patience: float = _PATIENCE) -> None:
    """Rename ``fresh`` to ``target``, over what is there; atomic.

    Windows refuses while anybody has the old one open or mapped; other systems never do.

    Raises:
        CollectionError: it is open elsewhere for longer than ``patience`` seconds; both are as they were.
        OSError: anything else.
    """
    until = time.monotonic() + patience
    while True:
        try:
            os.replace(fresh, target)
            return
        except PermissionError:
            if not _REFUSES:
                raise
            if time.monotonic() > until:
                raise CollectionError(
                    f"{target} is open in another program, which Windows does not let anybody replace; end what serves "
                    "or searches it, and run the same command again. What is there is unharmed"
                ) from None
            time.sleep(0.1)

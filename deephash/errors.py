"""Every error that deephash raises on purpose.

::

    DeephashError                  exit code 1
     ├─ UsageError                 2   a wrong value or combination was given (also a ValueError)
     ├─ DataError                  3   something that should be on disk is missing or unreadable
     │   ├─ DatasetNotFound
     │   ├─ WeightsNotFound
     │   └─ UnreadablePicture
     └─ CollectionError            4   a collection or model folder cannot be used
         ├─ CollectionDamaged
         ├─ FormatTooNew
         ├─ IncompatibleModel
         └─ EngineUnavailable

A message says what is wrong, what was given, what would be right, and the command that fixes it. The command line
prints it without a traceback and ends with the exit code.
"""

from typing import ClassVar


class DeephashError(Exception):
    """Base of the family; catch this to catch them all.

    Args:
        message: what is wrong, what was given and what would be right.
        remedy: the command that mends it, or where to look; for the owner of the files, not for a page's visitors.

    Attributes:
        message: without the remedy; the text of the exception has both.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "", *, remedy: str = "") -> None:
        super().__init__(f"{message}{'.' * (message[-1:] != '.')} {remedy}" if remedy else message)
        self.message = message


class UsageError(DeephashError, ValueError):
    """A value or a combination of values that cannot work."""

    exit_code = 2


class DataError(DeephashError):
    """Data or weights that are missing or cannot be read."""

    exit_code = 3


class DatasetNotFound(DataError):
    """A data set is not where it was looked for."""


class WeightsNotFound(DataError):
    """Model weights are not on this machine and could not be fetched."""


class UnreadablePicture(DataError):
    """A file that cannot be decoded as a picture."""


class CollectionError(DeephashError):
    """A collection or model folder that cannot be used."""

    exit_code = 4


class CollectionDamaged(CollectionError):
    """Files of a collection or model folder are missing or inconsistent."""


class FormatTooNew(CollectionError):
    """Written by a newer deephash than this one."""


class IncompatibleModel(CollectionError):
    """The model's codes cannot be compared with the collection's codes."""


class EngineUnavailable(CollectionError):
    """A server that answers for a collection cannot be reached, refuses, or holds something else."""


def did_you_mean(given: str, valid: list[str]) -> str:
    """Return the sentence ``; did you mean 'x'? (valid: ...)`` for a misspelt name."""
    import difflib

    close = difflib.get_close_matches(given, valid, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{hint} (valid: {', '.join(valid)})"

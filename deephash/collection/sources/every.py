"""All pictures of a place, for those who only look at some: files by their paths, others as what reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deephash.collection.sources import shards
from deephash.collection.sources.found import FoundFile, Listing, time_of
from deephash.collection.sources.listing import list_stored
from deephash.collection.sources.shard import Shard, is_shard
from deephash.collection.sources.store import checked_address, is_address
from deephash.errors import DataError
from deephash.pictures import scan_folder
from deephash.pictures.opening import files_below


def every_picture(place: str | Path) -> Iterator[Path | FoundFile]:
    """Yield the picture files below a folder, then what its shards hold; likewise of one shard or an address.

    Raises:
        UnreadablePicture: the folder does not exist.
        DataError: the object store does not answer.
    """
    if is_address(place):
        address = checked_address(str(place))
        yield from list_stored(address, address.rpartition("/")[0] if is_shard(address) else address).files
    elif (path := Path(place)).is_file() and is_shard(path.name):
        yield from _inside(path, path.name)
    else:
        yield from scan_folder(path)
        for file in files_below(path, is_shard):
            yield from _inside(file, file.relative_to(path).as_posix())


def require_pictures_at(place: str | Path) -> None:
    """Raise DataError unless there is a folder or a shard; an address is only looked at for its form (UsageError)."""
    if is_address(place):
        checked_address(str(place))
    elif not (path := Path(place)).is_dir() and not (path.is_file() and is_shard(path.name)):
        if path.is_file():
            raise DataError(
                f"{place} is a file; pictures are taken from a folder, a .tar or .parquet file, or s3://..."
            )
        raise DataError(f"{place} is not there; nothing was changed. Is its disk connected?")


def _inside(path: Path, uri: str) -> list[FoundFile]:
    listing, status = Listing(), path.stat()
    shards.take(listing, Shard(str(path), uri, status.st_size, time_of(status.st_mtime_ns)))
    return listing.files

"""The pictures of a shard, whichever its kind: all of them for a listing, or one by its name."""

from __future__ import annotations

from collections.abc import Sequence

from deephash.collection.globs import matches_glob
from deephash.collection.sources import parquet, tar
from deephash.collection.sources.found import Listing
from deephash.collection.sources.shard import PARQUET, Shard, ShardPicture
from deephash.errors import UnreadablePicture


def take(listing: Listing, shard: Shard, exclude: Sequence[str] = ()) -> None:
    """Put the pictures of a shard into a listing; where it is torn or damaged, rows that exist for it stay."""
    try:
        if shard.uri.lower().endswith(PARQUET):
            found: Sequence[ShardPicture] = parquet.pictures_of(shard)
        else:
            found, skipped, torn = tar.pictures_of(shard)
            listing.skipped += skipped
            if torn is not None:
                listing.leave(shard.uri, torn)
    except (OSError, UnreadablePicture) as error:
        reason = getattr(error, "strerror", None) or error
        listing.leave(shard.uri, f"cannot be read: {reason}")
        return
    for file in found:
        if any(matches_glob(file.uri, pattern) for pattern in exclude):
            listing.kept.append(file.uri)
        else:
            listing.files.append(file)


def find(shard: Shard, name: str) -> ShardPicture:
    """Return one picture of a shard. Raises FileNotFoundError, OSError, UnreadablePicture."""
    if shard.uri.lower().endswith(PARQUET):
        return parquet.find_picture(shard, name)
    return tar.find_picture(shard, name)

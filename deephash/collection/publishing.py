"""A collection on the Hugging Face hub, as a data set repository; ``hf:datasets/USER/NAME`` searches it anywhere.

What is published are the rows of one version (names, attributes, codes), the models, and the card without the folder
where the pictures lie here. Pictures stay where they are; those that visitors uploaded go along only when asked for.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deephash.collection.card import CARD_FILE
from deephash.collection.collection import Collection
from deephash.collection.reader import ROWS, UPLOADS
from deephash.foreign.hub import client, published, told


def publish_collection(
    collection: Collection,
    name: str,
    *,
    license: str | None = None,
    private: bool | None = None,
    token: str | None = None,
    uploads: bool = False,
    commit_message: str = "Publish a collection of hash codes",
) -> str:
    """Publish a collection as the data set ``USER/NAME``, in one commit; returns its address.

    Args:
        collection: what is published, at its latest version.
        name: ``USER/NAME``; the repository is made where there is none.
        license: of the rows, as the hub spells it (``cc-by-4.0``).
        private: of a new repository.
        token: of the hub; by default what the environment or ``hf auth login`` says.
        uploads: also the pictures that lie in the collection.
        commit_message: of the commit.

    Raises:
        UsageError: huggingface_hub is not installed, or the name is none.
        DataError: the hub refuses or does not answer; it keeps what it had.
    """
    hub, repo = client(), published(name, "dataset")
    texts = {CARD_FILE: replace(collection.card, root=None).to_json(), "README.md": page_of(collection, repo, license)}
    api = hub.HfApi(token=token)
    with TemporaryDirectory(prefix="deephash-") as scratch:
        collection.copy_rows_to(Path(scratch) / ROWS)  # this version alone: earlier ones hold what was removed since
        operations = [hub.CommitOperationAdd(place, text.encode()) for place, text in texts.items()]
        files = [*_files(Path(scratch), (ROWS,)), *_files(collection.path, _beside(uploads))]
        operations += [hub.CommitOperationAdd(place, str(file)) for place, file in files]
        return _commit(api, hub, repo, operations, private, commit_message)


def _commit(api: Any, hub: Any, repo: str, operations: list[Any], private: bool | None, message: str) -> str:
    try:
        api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        there = api.list_repo_files(repo, repo_type="dataset")
        kept = {operation.path_in_repo for operation in operations}
        gone = [
            each for each in there if each not in kept and each.startswith(("rows.lance/", "models/", f"{UPLOADS}/"))
        ]
        operations += [hub.CommitOperationDelete(each) for each in gone]
        return str(api.create_commit(repo, operations, commit_message=message, repo_type="dataset").commit_url)
    except Exception as error:  # the client's, httpx's and the system's have no common base
        raise told(error, repo) from None


def page_of(collection: Collection, repo: str, license: str | None) -> str:
    """Return the repository's page: what it holds, how it is searched, and what the hub finds it by."""
    count = len(collection)
    sizes = ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"), (1e7, "1M<n<10M"))
    size = next((word for limit, word in sizes if count < limit), "n>10M")
    head = client().DatasetCardData(
        license=license, tags=["deephash", "deep-hashing", "image-retrieval"], size_categories=[size]
    )
    current = collection.current
    return (
        f"---\n{head.to_yaml().strip()}\n---\n\n# {repo}\n\n"
        f"{count:,} items with {collection.num_bits}-bit codes of {current.called}. Pictures are not part of it.\n\n"
        f'```bash\npip install "deephash[hub]"\ndeephash search hf:datasets/{repo} picture.jpg\n```\n\n'
        f"Attributes: {', '.join(sorted(collection.attribute_kinds)) or 'none'}.\n"
    )


def _beside(uploads: bool) -> tuple[str, ...]:
    """Return what lies beside the rows and is published."""
    return ("models", "next_id", "hub_bank_*.npz", *((UPLOADS,) if uploads else ()))


def _files(folder: Path, tops: tuple[str, ...]) -> list[tuple[str, Path]]:
    found = [path for top in tops for path in sorted(folder.glob(top))]
    inside = [each for path in found for each in ([path] if path.is_file() else sorted(path.rglob("*")))]
    places = [(path.relative_to(folder).as_posix(), path) for path in inside if path.is_file()]
    return [(place, path) for place, path in places if not any(part.startswith(".") for part in place.split("/"))]

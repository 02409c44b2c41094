"""``deephash models push`` and ``deephash collection publish``: to the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from deephash.foreign.hub import client, published

Flag = Annotated[bool, Parameter(negative="")]


def push_model(
    run: Path, name: str, /, *, license: str | None = None, private: Flag = False, tag: list[str] | None = None
) -> None:
    """Publish the model of a run on the Hugging Face hub, with a card that holds its scores.

    $ deephash models push runs/a me/birds-64 --license apache-2.0
    $ deephash search birds.dh owl.jpg --model hf:me/birds-64

    Args:
        run: a run or a model folder.
        name: USER/NAME; made where there is none.
        license: of the weights, as the hub spells it.
        private: of a new repository; HF_TOKEN or `hf auth login` says who you are.
        tag: beside those of deephash; repeatable.
    """
    client(), published(name, "model")  # before torch is imported
    from deephash.models import load_model
    from deephash.models.hub import push_model as push
    from deephash.models.hub import run_of

    print(push(load_model(run), name, run=run_of(run), license=license, tags=tag or (), private=private or None))


def publish(
    collection: Path, name: str, /, *, license: str | None = None, private: Flag = False, uploads: Flag = False
) -> None:
    """Publish a collection on the Hugging Face hub as a data set: rows, codes and models, without pictures.

    $ deephash collection publish birds.dh me/birds --license cc-by-4.0
    $ deephash search hf:datasets/me/birds owl.jpg

    Args:
        collection: made by ``deephash index``.
        name: USER/NAME; made where there is none.
        license: of the rows, as the hub spells it.
        private: of a new repository; HF_TOKEN or `hf auth login` says who you are.
        uploads: also the pictures that lie in the collection itself.
    """
    client(), published(name, "dataset")
    from deephash.collection import Collection
    from deephash.collection.publishing import publish_collection

    opened = Collection.open(collection)
    print(publish_collection(opened, name, license=license, private=private or None, uploads=uploads))

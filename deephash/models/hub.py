"""Models on the Hugging Face hub, by the mixin of huggingface_hub: a repository is a model folder with a card.

Nothing that is fetched can run code: a repository is loaded as any stranger's folder is (``models/loading.py``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeVar

from deephash.encoding.card import CARD_NAME, card_of
from deephash.encoding.record import JSON_NAME, model_folder, read_model_record
from deephash.errors import UsageError
from deephash.foreign.hub import HubName, client, fetched, published, told

Model = TypeVar("Model")


class Publishable(Protocol):
    """What is asked of a model that is published: :class:`~deephash.models.HashModel` has it."""

    def save(self, directory: Path) -> None: ...  # noqa: D102


def push_model(
    model: Publishable,
    name: str,
    *,
    run: Path | None = None,
    license: str | None = None,
    tags: Sequence[str] = (),
    private: bool | None = None,
    token: str | None = None,
    branch: str | None = None,
    commit_message: str = "Push a hash model",
) -> str:
    """Publish a model as ``USER/NAME``; returns the address of the commit.

    Args:
        model: what is published.
        name: ``USER/NAME``; the repository is made where there is none.
        run: its run, whose data set, scores and protocol go into the card.
        license: of the weights, as the hub spells it (``apache-2.0``).
        tags: beside those of deephash.
        private: of a new repository.
        token: of the hub; by default what the environment or ``hf auth login`` says.
        branch: by default main.
        commit_message: of the commit.

    Raises:
        UsageError: huggingface_hub is not installed, or the name is none.
        DataError: the hub refuses or does not answer.
    """
    hub, repo = client(), published(name, "model")

    class Pushed(hub.ModelHubMixin):  # type: ignore[misc,name-defined]  # a base class that need not be installed
        """What the mixin pushes: it asks for the files, and knows the rest."""

        def _save_pretrained(self, save_directory: Path) -> None:
            model.save(save_directory)
            record = read_model_record(save_directory)
            head = front_matter(record, _facts_of(run), license, tags)
            page = card_of(record).replace('"this folder"', f'"hf:{repo}"')
            (save_directory / CARD_NAME).write_text(head + page, encoding="utf8")

    try:
        return str(
            Pushed().push_to_hub(repo, private=private, token=token, branch=branch, commit_message=commit_message)
        )
    except Exception as error:  # the client's, httpx's and the system's have no common base
        raise told(error, repo) from None


def pulled(
    cls: type[Model], name: str | Path, *, revision: str | None, token: str | None, local_files_only: bool
) -> Model:
    """Load a model of the hub, or of a folder, see :meth:`HashModel.from_pretrained`."""
    folder = Path(name)
    if not folder.exists():
        text = f"{HubName.parse(str(name))}" + (f"@{revision}" if revision else "")
        folder = fetched(HubName.parse(text), token=token, local_files_only=local_files_only)
    model = import_module("deephash").load_model(folder)  # by name: that file stands above this one
    if not isinstance(model, cls):
        raise UsageError(f"{name} holds a {type(model).__name__}, not a {cls.__name__}; deephash.load_model takes any")
    return model


def front_matter(
    record: Mapping[str, Any], facts: Mapping[str, Any], license: str | None, tags: Sequence[str] = ()
) -> str:
    """Return the head of a card, in YAML between two lines: what the hub finds a model by.

    Args:
        record: of ``model.json``.
        facts: of ``run.json``; nothing where there is no run.
        license: of the weights.
        tags: beside those of deephash.
    """
    hub = client()
    protocol, scores = str(facts.get("protocol") or ""), facts.get("test_scores") or {}
    data = protocol.partition("/")[0] or "unknown"
    several = ["cross-modal"] if len(record["modalities"]) > 1 else []
    results = [
        hub.EvalResult(
            task_type="image-retrieval",
            task_name="retrieval by hash codes",
            dataset_type=data,
            dataset_name=protocol or data,
            metric_type="mAP@all",
            metric_name=f"mAP@all {task}".strip(),
            metric_value=value,
        )
        for task, value in scores.items()
        if isinstance(value, (int, float))
    ]
    known = hub.ModelCardData(
        license=license,
        library_name="deephash",
        pipeline_tag="image-feature-extraction",
        tags=[
            "deephash",
            "deep-hashing",
            "image-retrieval",
            *several,
            *tags,
        ],
        datasets=[data] if protocol else None,
        metrics=["mAP@all"] if results else None,
        model_name=f"{record['class']}, {record['num_bits']} bits" if results else None,
        eval_results=results or None,
    )
    return f"---\n{known.to_yaml().strip()}\n---\n\n"


def run_of(path: str | Path) -> Path | None:
    """Return the run that a path names, or whose model it names; None of a model folder by itself."""
    folder = model_folder(path)
    run = folder.parent if (folder / JSON_NAME).is_file() and folder.name in ("model", "last") else Path(path)
    return run if (run / "run.json").is_file() else None


def _facts_of(run: Path | None) -> dict[str, Any]:
    if run is None:
        return {}
    facts = json.loads((run / "run.json").read_text(encoding="utf8"))
    return facts if isinstance(facts, dict) else {}

"""An upgrade: measured, judged, and published without rewriting a row."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deephash.collection import Collection
from deephash.collection.model_versions import ModelVersion
from deephash.encoding import CodeEncoder
from deephash.encoding.opening import folder_of
from deephash.encoding.record import read_model_record
from deephash.errors import IncompatibleModel, UsageError
from deephash.upgrades.gate import Verdict, judge
from deephash.upgrades.sample import TooFewRows, draw_sample

__all__ = [
    "Judging",
    "NotPublished",
    "TooFewRows",
    "measure",
    "publish",
    "refusal",
    "require_all_modalities",
    "require_forced",
    "require_replaceable",
]


class NotPublished(IncompatibleModel):
    """The gate refused an upgrade."""

    exit_code = 1


@dataclass(frozen=True)
class Judging:
    """How a newer model is judged.

    Attributes:
        label: attribute that says which items belong together.
        sample: rows that are looked at.
        margin: of mAP, which the lower end of the interval must exceed.
        seed: of the sample and the interval.
    """

    label: str = "label"
    sample: int = 2000
    margin: float = 0.0
    seed: int = 0


def measure(
    collection: Collection,
    model: CodeEncoder,
    folder: str | Path | None,
    how: Judging,
    *,
    same_network: bool = False,
) -> Verdict:
    """Judge a model that is to replace the current one.

    Args:
        collection: what is to be upgraded.
        model: the newer one.
        folder: the run or model folder where it lies, which says what it was trained on; None for one in memory that
            was fitted, not trained.
        how: see :class:`Judging`.
        same_network: the model stands on the network of the current one, so that without labels the nearest by its
            vectors are what both codes should find.

    Raises:
        TooFewRows: fewer than 50 rows can be looked at.
        UsageError: it is the current model, or reads no pictures.
    """
    require_replaceable(collection, model)
    where = None if folder is None else folder_of(folder)
    drawn = draw_sample(
        collection, model, where, label=how.label, most=how.sample, seed=how.seed, judge_by_vectors=same_network
    )
    return judge(drawn, margin=how.margin, seed=how.seed)


def require_replaceable(collection: Collection, model: CodeEncoder) -> None:
    """Raise UsageError where the collection cannot be given ``model``."""
    if model.fingerprint() == collection.fingerprint:
        raise UsageError(f"{collection.path} has {collection.current.called} already; there is nothing to upgrade")
    if "image" not in model.modalities:
        raise UsageError(
            f"{model.method} reads {' and '.join(model.modalities)}, and {collection.path} holds pictures; an upgrade "
            "encodes these: give a model that reads pictures"
        )
    mine = collection.model_path
    if mine is None:
        raise UsageError(
            f"{collection.path} holds codes from elsewhere, which no model here made; index its pictures anew: "
            "deephash index PICTURES --out NEW.dh --model RUN"
        )


def require_all_modalities(collection: Collection, model: CodeEncoder) -> None:
    """Raise UsageError where ``model`` lacks what the current model reads, so that nobody could ask by it any more."""
    folder = collection.model_path
    asked = () if folder is None else read_model_record(folder)["modalities"]
    if lost := [name for name in asked if name not in model.modalities]:
        raise UsageError(
            f"{collection.path} is searched by {' and '.join(asked)}, and {model.method} reads no "
            f"{' and no '.join(lost)}; give a model that does, or --force to do without"
        )


def require_forced(same_space: bool, force: bool) -> None:
    """Raise UsageError where codes are to be mixed without ``force``."""
    if same_space and not force:
        raise UsageError("--same-space overrides the gate and is taken together with --force only")


def publish(
    collection: Collection,
    model: CodeEncoder,
    verdict: Verdict | None,
    *,
    force: bool = False,
    same_space: bool = False,
) -> ModelVersion:
    """Make ``model`` the collection's current one.

    Codes that were found compatible go into the column of the old ones. Others get a column of their own: each model
    then answers for its own items, until all are encoded anew.

    Args:
        collection: what is upgraded.
        model: the next model.
        verdict: of :func:`measure`; None where nothing was measured.
        force: it is published whatever was measured; the collection remembers that.
        same_space: with ``force``, mix the codes of both models although nothing says that they can be compared.

    Raises:
        UsageError: the collection was upgraded by somebody else meanwhile, or without ``force``, ``same_space`` or a
            model that lacks a modality of the current one.
    """
    require_forced(same_space, force)
    require_replaceable(collection, model)
    if not force:
        require_all_modalities(collection, model)
    compatible = verdict is not None and verdict.is_compatible
    return collection.publish(
        model,
        same_space=compatible or same_space,
        vector_dim=model.vector_dim() if collection.has_vectors else None,
        evidence={"forced": force and not compatible} | ({} if verdict is None else verdict.to_record()),
        after=collection.current,
    )


def refusal(collection: Collection, verdict: Verdict | None) -> str:
    """Return why the gate refuses, and what would be right."""
    if verdict is None:
        return f"{collection.path}: nothing was measured; --force publishes without"
    means = (
        "--force keeps the old codes for the old model, searches each with its own and merges the answers; "
        "--re-encode now encodes everything anew where that is better"
    )
    if not verdict.held_out:
        return (
            f"{collection.path}: one of the models was trained on these pictures, so the figures say how well it "
            f"remembers and nothing was published. Add pictures that neither has seen, or: {means}"
        )
    if verdict.renew is None:
        return (
            f"{collection.path}: without labels nobody can say which model is better, so nothing was published. Give a "
            f"--label, or: {means}"
        )
    if verdict.keep is None:
        return (
            f"{collection.path}: codes of {collection.num_bits} bits cannot be compared with the new model's; nothing "
            f"was published. {means}"
        )
    low = verdict.keep.interval.low
    return (
        f"{collection.path}: new queries on old codes are not better than old ones by more than {verdict.margin:g} "
        f"({verdict.keep.difference:+.3f}, at least {low:+.3f}); nothing was published. {means}"
    )

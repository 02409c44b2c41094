"""``deephash upgrade``: give a collection a newer model without encoding everything again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from deephash.cli.choosing import model_named
from deephash.cli.output import note, print_json, table
from deephash.errors import UsageError
from deephash.foreign.names import printable
from deephash.numbers import real, whole

if TYPE_CHECKING:
    from deephash.collection import Collection
    from deephash.encoding.opening import Source
    from deephash.upgrades.gate import Verdict
    from deephash.upgrades.upgrade import Judging

Flag = Annotated[bool, Parameter(negative="")]
_SHOWN = 5  # skipped rows named on the terminal


def upgrade(
    collection: Path,
    /,
    *,
    model: str | None = None,
    refit: Flag = False,
    bits: int | None = None,
    weights: Path | None = None,
    label: str = "label",
    sample: int = 2000,
    margin: float = 0.0,
    seed: int = 0,
    dry_run: Flag = False,
    force: Flag = False,
    same_space: Flag = False,
    re_encode: Literal["no", "now", "lazily"] = "no",
    workers: int | None = None,
    device: str = "auto",
    gently: Flag = False,
    json: Flag = False,
) -> int:
    """Give a collection a newer model, if measuring shows that it may have it; stored codes stay as they are.

    On pictures of the collection that neither model was trained on, the new model's queries must find more in the old
    codes than the old queries do. Then new pictures and queries go through the new model. Where the two cannot be
    compared nothing is published, unless everything is encoded anew or you insist.

    $ deephash upgrade pictures.dh --model runs/newer --dry-run
    $ deephash upgrade pictures.dh --model runs/newer
    $ deephash upgrade pictures.dh --model runs/newer --re-encode lazily
    $ deephash upgrade pictures.dh --refit --re-encode now
    $ deephash upgrade pictures.dh --re-encode now

    Args:
        collection: made by ``deephash index``.
        model: the newer model: a run, a model folder, or a training-free model such as itq:timm:resnet18.
        refit: fit the collection's own training-free model anew to the pictures it has by now.
        bits: code length of a training-free model that --model names.
        weights: file with the weights of its network.
        label: attribute that says which items belong together.
        sample: rows that are looked at; a fifth of them asks for the others.
        margin: of mAP, by which the new queries must be better at the lower end of a 95 % interval.
        seed: of the sample and the interval.
        dry_run: measure, and publish nothing.
        force: publish whatever was measured. Codes that were not shown to be comparable are searched each with their
            own model, and the answers merged by how improbable they are.
        same_space: with --force, take the codes of both models to be comparable all the same.
        re_encode: give old rows new codes: now, or lazily, which is by a process behind everything else that goes on
            when this command has ended. Without --model go on with what an earlier upgrade began.
        workers: threads for encoding anew.
        device: auto, cpu, cuda.
        gently: encode anew in one thread, with time that nobody else wants.
        json: print one JSON object.
    """
    from deephash.collection import Collection
    from deephash.upgrades.upgrade import Judging, require_forced

    whole(sample, "sample, the number of rows,", least=1)
    whole(seed, "seed", most=2**32 - 1)
    if workers is not None:
        whole(workers, "workers, the number of threads,", least=1)
    judging = Judging(label, sample, real(margin, "margin, of mAP,", least=0, most=1), seed)
    require_forced(same_space, force)  # before anything is measured
    opened = Collection.open(collection)
    asked = _Asked(opened, judging, wanted=re_encode != "no", force=force, same_space=same_space, dry_run=dry_run)
    record: dict[str, Any] = {"collection": str(collection)}
    if model is not None or refit:
        record |= _exchanged(asked, _newer(opened, model, refit, bits, weights), refit, device, quiet=json)
    elif re_encode == "no":
        raise UsageError("say what to do: --model RUN, --refit, or --re-encode now to go on with an earlier upgrade")
    elif dry_run:
        raise UsageError("--dry-run measures a newer model and is taken together with --model or --refit")
    if re_encode != "no" and not dry_run:
        record |= _encoded_anew(collection, re_encode, workers, device, gently, quiet=json)
    if json:
        print_json(record)
    return 1 if dry_run and not record["would_publish"] else 0


@dataclass(frozen=True)
class _Asked:
    """What was asked for."""

    collection: Collection
    judging: Judging
    wanted: bool
    force: bool
    same_space: bool
    dry_run: bool


def _newer(opened: Collection, model: str | None, refit: bool, bits: int | None, weights: Path | None) -> Source:
    """Return the folder of the newer model, or the model in memory."""
    if not refit:
        return model_named(str(model), pictures=opened.card.root, num_bits=bits, weights=weights)
    if model is not None or bits is not None or weights is not None:
        raise UsageError(
            "--refit fits the collection's own model anew, of the same length; leave out --model, --bits and --weights"
        )
    from deephash.fitting import refit as fitted_anew
    from deephash.models import load_model
    from deephash.upgrades.pictures import pictures_of

    mine = opened.model_path
    if mine is None:
        raise UsageError(f"{opened.path} holds codes from elsewhere; there is no model to fit anew")
    return fitted_anew(load_model(mine), pictures_of(opened))


def _exchanged(asked: _Asked, newer: Source, refit: bool, device: str, *, quiet: bool) -> dict[str, Any]:
    """Measure, and publish where that is allowed. Returns what --json prints of it."""
    from deephash.encoding import open_encoder
    from deephash.upgrades.upgrade import NotPublished, TooFewRows, measure, publish, refusal, require_all_modalities

    encoder = open_encoder(newer, device=device)
    if not asked.force:
        require_all_modalities(asked.collection, encoder)  # before anything is encoded
    folder = newer if isinstance(newer, Path) else None
    before, column = asked.collection.version, asked.collection.current.column
    verdict = None
    try:
        verdict = measure(asked.collection, encoder, folder, asked.judging, same_network=refit)
    except TooFewRows:
        if not asked.force:
            raise
    if verdict is not None and not quiet:
        _show(verdict)
        _tell_targets(asked.collection, folder)
    allowed = asked.force or (verdict is not None and (verdict.is_compatible or (asked.wanted and verdict.is_better)))
    record: dict[str, Any] = {} if verdict is None else verdict.to_record()
    record["would_publish"] = allowed
    if asked.dry_run:
        note(
            "it would be published; nothing was, as --dry-run asks"
            if allowed
            else f"it would be refused: {refusal(asked.collection, verdict)}"
        )
        return record
    if not allowed:
        raise NotPublished(refusal(asked.collection, verdict))
    version = publish(asked.collection, encoder, verdict, force=asked.force, same_space=asked.same_space)
    if not quiet:
        own = "their codes lie beside the old ones" if version.column == column else "they have codes of their own"
        print(
            f"{asked.collection.path}: model version {version.number} is {version.called}; it encodes queries and new "
            f"pictures ({own}). No row was written again"
        )
        note(f"undo with: deephash collection restore {asked.collection.path} {before}")
    return record | {"model_version": version.number, "fingerprint": version.fingerprint, "restore_to": before}


def _tell_targets(collection: Collection, folder: Path | None) -> None:
    """Say what the tables of class targets let expect, where both models have one."""
    from deephash.encoding.targets import TargetTable, compare_targets

    mine = collection.model_path
    old, new = (None if each is None else TargetTable.load(each) for each in (mine, folder))
    if old is None or new is None:
        return
    if compare_targets(old, new).one_space:
        note("both models are pulled to the same table of class targets")
    else:
        note("the models are pulled to different class targets; deephash train --targets RUN takes those of RUN")


def _show(verdict: Verdict) -> None:
    found = verdict.figures
    rows = [("old queries", found["old/old"], ""), ("new queries", found.get("new/old", "-"), found["new/new"])]
    what = "overlap with the old answers" if verdict.renew is None else "mAP"
    print(f"{what}, relevant: {verdict.relevance}")
    print(table(rows, ("", "old codes", "new codes")))
    for name, gain in (("new queries on old codes", verdict.keep), ("everything encoded anew", verdict.renew)):
        if gain is not None:
            low, high = gain.interval
            print(f"{name}: {gain.difference:+.4f} (95 % of the differences: {low:+.4f} to {high:+.4f})")
    print(verdict.protocol)


def _encoded_anew(
    path: Path, how: str, workers: int | None, device: str, gently: bool, *, quiet: bool
) -> dict[str, Any]:
    """Encode old rows anew, or leave that to another process. Returns what --json prints of it."""
    from deephash.upgrades.reencode import LOG, re_encode, start_behind

    if how == "lazily":
        process = start_behind(path, device)
        note(
            f"process {process} encodes the old rows anew behind everything else; {path / LOG} tells how far it is. "
            f"Stop it with: kill {process}; go on with: deephash upgrade {path} --re-encode lazily"
        )
        return {"process": process}
    done = re_encode(path, workers=workers, device=device, gently=gently)
    if not quiet:
        print(f"{path}: {done.rows:,} rows encoded anew, {len(done.skipped):,} keep the code they had")
    for uri, reason in done.skipped[:_SHOWN]:
        note(f"  kept {printable(uri)}: {printable(reason)}")
    return {"encoded_anew": done.rows, "kept": len(done.skipped)}

"""``deephash corrupt``: what retrieval and the search for copies lose by JPEG, blur, noise and the like."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from deephash.cli.early import require_target
from deephash.cli.output import show_report


def corrupt(
    target: Path,
    /,
    *,
    kinds: Annotated[list[str], Parameter(consume_multiple=True, negative="")] | None = None,
    beside: Path | None = None,
    near: int | None = None,
    queries: int = 100,
    top_k: int | None = None,
    task: Literal["i2t", "i2i"] | None = None,
    label: str = "label",
    seed: int = 0,
    out: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Corrupt the queries of a run, or items of a collection, as pictures are on their way, and measure what is lost.

    $ deephash corrupt runs/orthohash
    $ deephash corrupt pictures.dh --kinds jpeg blur text
    $ deephash corrupt runs/saat --beside attacks/saat-suite-standard

    Eight corruptions at five strengths: jpeg, blur, noise, resize, crop, rotation, brightness, text. Beside mAP stands
    whether the corrupted copy is still a near-duplicate of its original, by code and by pixels, and how many other
    pictures would pass for one. The same command goes on with what was interrupted.

    Args:
        target: a run folder or a collection.
        kinds: some of them; all when left out.
        beside: folder of deephash attack: its curve over the budget is drawn beside, and its figures are repeated.
        near: radius of near-duplicates, in bits; a sixteenth of the code when left out.
        queries: pictures that are corrupted, drawn by the seed.
        top_k: R of mAP@R; the whole database when left out.
        task: of a cross-modal model: i2t searches texts, i2i pictures.
        label: attribute of a collection that is the class.
        seed: of the queries.
        out: folder for codes, table, picture and report; corruptions/TARGET when left out.
        json: print the report as one JSON object.
    """
    require_target(target, queries)
    from deephash.attacks.corrupting import Corrupting, corrupt
    from deephash.attacks.corruption_plot import attacked_curve, draw_corruptions, with_attack
    from deephash.attacks.subject import subject_of
    from deephash.evaluation.settings import Settings
    from deephash.reports.report import EvaluationReport

    asked = Corrupting(tuple(kinds or ()), near)
    attack = None if beside is None else EvaluationReport.load(beside)
    if attack is not None:
        attacked_curve(attack)  # refuses another report before the work
    subject = subject_of(target, queries=queries, seed=seed, label=label, task=task)
    folder = out or Path("corruptions") / target.name.removesuffix(".dh")
    measured = corrupt(subject, asked, folder, settings=Settings(top_k=top_k, seed=seed))
    report = measured.report if attack is None else with_attack(measured.report, attack)
    files = [*report.save(folder), folder / "corruptions.csv", draw_corruptions(measured, attack, folder)]
    show_report(report, folder, files, as_json=json)
    return 0

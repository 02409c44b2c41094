"""``deephash certify``: bits that no small change of a picture can turn, and what that guarantees of retrieval."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from deephash.cli.early import require_target
from deephash.cli.output import show_report


def certify(
    target: Path,
    /,
    *,
    sigma: float,
    radius: Annotated[list[float], Parameter(consume_multiple=True, negative="")] | None = None,
    draws: int = 1000,
    alpha: float = 0.001,
    queries: int = 100,
    top_k: int | None = None,
    task: Literal["i2t", "i2i"] | None = None,
    label: str = "label",
    seed: int = 0,
    batch_size: int = 256,
    out: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Certify the codes of queries by randomised smoothing, and bound mAP, P@k and NDCG from below.

    $ deephash certify runs/orthohash --sigma 0.12
    $ deephash certify runs/noise --sigma 0.25 --radius 0.1 0.25 0.5 --draws 10000
    $ deephash certify pictures.dh --sigma 0.25 --queries 20 --out certificates/pictures

    A smoothed bit is what the model says of most noisy copies of a picture. No change of an L2 norm below its radius
    turns it, whatever the attack, with the confidence that is asked for. It takes a model trained under noise to
    certify much: deephash train ... --defence noise:0.25. The same command goes on with what was interrupted.

    Args:
        target: a run folder or a collection.
        sigma: standard deviation of the noise, as a share of the pixel range.
        radius: L2 radii of changes, in units of the pixel range; 0.1 and 0.25 when left out.
        draws: noisy copies of each query that are counted; more of them show larger radii.
        alpha: probability that any bit of a query is certified wrongly.
        queries: pictures that are certified, drawn by the seed.
        top_k: R of mAP@R; the whole database when left out.
        task: of a cross-modal model: i2t searches texts, i2i pictures.
        label: attribute of a collection that is the class.
        seed: of queries and noise.
        batch_size: noisy copies in one pass of the network.
        out: folder for counts, codes with radii and report; certificates/TARGET-SIGMA when left out.
        json: print the report as one JSON object.
    """
    require_target(target, queries)
    from deephash.attacks.certifying import Certifying, certify
    from deephash.attacks.certifying_plot import draw_bounds
    from deephash.attacks.subject import subject_of
    from deephash.evaluation.settings import Settings

    asked = Certifying(sigma, draws, alpha, tuple(sorted(radius or (0.1, 0.25))), seed, batch_size)
    subject = subject_of(target, queries=queries, seed=seed, label=label, task=task)
    folder = out or Path("certificates") / f"{target.name.removesuffix('.dh')}-{sigma:g}"
    report = certify(subject, asked, folder, settings=Settings(top_k=top_k, seed=seed))
    files = [*report.save(folder), draw_bounds(subject, asked, folder, report)]
    show_report(report, folder, files, as_json=json)
    return 0

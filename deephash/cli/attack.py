"""``deephash attack``: what becomes of retrieval when somebody changes the pictures a little."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from deephash.cli.early import require_target
from deephash.cli.output import show_report
from deephash.errors import UsageError
from deephash.foreign.trust import trust

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from deephash.attacks.subject import Subject
    from deephash.evaluation.settings import Settings
    from deephash.reports.report import EvaluationReport

Rule = Literal["bim", "pgd", "mi", "ni", "si-ni", "di", "vmi", "apgd"]


def attack(
    target: Path,
    /,
    *,
    attack: str | None = None,
    suite: str | None = None,
    epsilon: str | None = None,
    steps: int | None = None,
    restarts: int | None = None,
    rule: Rule | None = None,
    patch_size: float | None = None,
    patch_place: tuple[float, float] | None = None,
    queries: int = 100,
    targeted: Annotated[bool, Parameter(negative="")] = False,
    targets: Path | None = None,
    towards: str | None = None,
    allow_overlap: Annotated[bool, Parameter(negative="")] = False,
    source: Path | None = None,
    top_k: int | None = None,
    convention: str | None = None,
    task: Literal["i2t", "i2i"] | None = None,
    label: str = "label",
    seed: int = 0,
    batch_size: int = 32,
    out: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Attack the queries of a run, or items of a collection, and measure what retrieval loses.

    $ deephash attack runs/orthohash --attack mainstay
    $ deephash attack runs/orthohash --attack dhta --epsilon 4/255 --steps 200
    $ deephash attack pictures.dh --attack pgd --rule mi --source runs/other --out attacks/transfer
    $ deephash attack clip.dh --attack collide --towards "a red umbrella"
    $ deephash attack runs/orthohash --suite standard

    Pictures are changed by at most epsilon in every pixel, rounded to 8 bits and saved as PNG; figures are taken from
    these files by the path that is deployed, and once more after JPEG 90 and 75. The same command goes on with what was
    interrupted.

    Args:
        target: a run folder or a collection.
        attack: pgd, apgd, hag, sdha, mainstay, p2p, dhta, tha, prosgan, square, universal, patch, collide,
            evade; docs/attacks.md describes them. myattack.MyAttack is a class of your own.
        suite: standard or fast: several attacks, the worst case of each query, and flags where a figure deserves no
            trust.
        epsilon: largest change of a pixel, as a share of its range: 8/255 (when left out) is eight grey levels.
        steps: looks at the gradient; 100 when left out.
        restarts: runs from other places in the budget; the best of each picture counts.
        rule: how gradients move the pixels; the attack's own when left out.
        patch_size: side of a patch (--attack patch) as a share of the picture's; 0.2 when left out.
        patch_place: its centre as two shares of width and height; drawn for each picture when left out.
        queries: pictures that are attacked, drawn by the seed.
        targeted: pull to other labels, where the attack (mainstay, sdha) can also flee.
        targets: CSV with the columns query,target; drawn by the seed when left out, and kept in the folder.
        towards: the code to take, of a picture file or of a phrase (collide, pgd, apgd).
        allow_overlap: targets may share a class with their query.
        source: another run or model whose gradients are used: a transfer attack.
        top_k: R of mAP@R; the whole database when left out.
        convention: count as a paper does: dhta, saat or prosgan; the protocol says so (legacy=dhta).
        task: of a cross-modal model: i2t searches texts, i2i pictures.
        label: attribute of a collection that is the class.
        seed: of everything drawn.
        batch_size: pictures at once.
        out: folder for pictures, codes and report; attacks/TARGET-ATTACK when left out.
        json: print the report as one JSON object.
    """
    require_target(target, queries)
    from deephash.attacks.aims import aims_of, without_target
    from deephash.attacks.base import EPSILON
    from deephash.attacks.catalogue import make_attack, read_epsilon
    from deephash.attacks.measuring import measure, save_codes
    from deephash.attacks.running import Job, run_attack
    from deephash.attacks.sheet import draw_sheet
    from deephash.attacks.subject import subject_of
    from deephash.attacks.suite import Ensemble, run_suite

    subject = subject_of(target, queries=queries, seed=seed, label=label, task=task)
    budget = None if epsilon is None else read_epsilon(epsilon)
    settings, any_target = _counted(convention, top_k, seed, subject, allow_overlap)
    transfer = None if source is None else _model(source)
    folder = out or Path("attacks") / f"{target.name.removesuffix('.dh')}-{attack or f'suite-{suite}'}"
    if suite is not None:
        _require_alone(suite, attack, rule, restarts, targeted, targets, towards, patch_size, patch_place, convention)
        ensemble = Ensemble(
            suite, EPSILON if budget is None else budget, 100 if steps is None else steps, seed, batch_size, transfer
        )
        return _hand_over(run_suite(subject, ensemble, folder, settings=settings), folder, [], json)
    name = _named(attack)
    patch = {"patch_size": patch_size, "patch_place": patch_place}
    made = make_attack(name, rule=rule, epsilon=budget, steps=steps, restarts=restarts, seed=seed, **patch)
    if targeted and targets is None and towards is None and not any_target:
        subject = without_target(subject, name, seed)
    aims = aims_of(
        subject,
        name,
        targeted=targeted,
        targets=targets,
        towards=None if towards is None else _code_of(subject, towards),
        seed=seed,
        allow_overlap=any_target,
    )
    job = Job(subject, name, made, aims, transfer)
    gallery = run_attack(job, folder, batch_size=batch_size)
    measured = measure(job, gallery, settings=settings, convention=convention)
    save_codes(job, gallery, measured)
    return _hand_over(measured.report, folder, [draw_sheet(job, gallery, measured)], json)


def _counted(
    convention: str | None, top_k: int | None, seed: int, subject: Subject, allow_overlap: bool
) -> tuple[Settings, bool]:
    """Return the settings of a convention, or of the options, and whether targets may be labels of their query."""
    from deephash.attacks.conventions import convention_named
    from deephash.evaluation.settings import Settings

    if convention is None:
        return Settings(top_k=top_k, seed=seed), allow_overlap
    if top_k is not None:
        raise UsageError(f"the convention {convention} sets R of mAP@R; leave out --top-k")
    found = convention_named(convention)
    return found.settings(len(subject.pair.database), seed), allow_overlap or found.allow_overlap


def _require_alone(suite: str, *others: object) -> None:
    if any(others):
        raise UsageError(
            f"the suite {suite} chooses its attacks and what they do; leave out --attack, --rule, --restarts, "
            "--targeted, --targets, --towards, --patch-size and --convention"
        )


def _hand_over(report: EvaluationReport, folder: Path, pictures: list[Path], as_json: bool) -> int:
    files = report.save(folder)
    page = report.to_markdown(pictures=[path.name for path in pictures])
    (folder / "report.md").write_text(page, encoding="utf-8")
    show_report(report, folder, [*files, *pictures], as_json=as_json)
    return 0


def _named(attack: str | None) -> str:
    from deephash.attacks.catalogue import ATTACKS

    if attack is None:
        lines = "\n".join(f"  {name:10} {entry.says}" for name, entry in ATTACKS.items())
        raise UsageError(f"which attack? --attack NAME, or --suite standard\n{lines}")
    if "." in attack:
        trust(attack.rpartition(".")[0])  # whoever types it means it
    return attack


def _code_of(subject: Subject, towards: str) -> NDArray[np.float32]:
    """Return the signs [K] of a picture file or a phrase."""
    import numpy as np

    model: Any = subject.model
    if Path(towards).is_file():
        codes = model.encode_images([towards])
    elif "text" in model.encoders:
        codes = model.encode_texts([towards])
    else:
        raise UsageError(f"--towards {towards!r} is no picture file, and this {type(model).__name__} reads no phrases")
    return np.asarray(codes.signs()[0], dtype=np.float32)


def _model(source: Path) -> Any:
    from deephash.encoding.record import model_folder
    from deephash.models import load_model

    return load_model(model_folder(source))

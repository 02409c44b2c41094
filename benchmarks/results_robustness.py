"""Attacks and defences: the rows of docs/results/robustness.md.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/results_robustness.py --runs RUNS --out robustness.jsonl
    OMP_WAIT_POLICY=PASSIVE python benchmarks/results_robustness.py --runs RUNS --out robustness.jsonl \\
        --cifar cifar10_jpeg.npz --weights WEIGHTS --seconds 10800

Without ``--cifar`` handwritten digits alone: OrthoHash on a small network, every attack. With it also CIFAR-10 (the
lossy JPEG copy) at 32 pixels, a pretrained ResNet-20 tuned end to end, several methods, defences and seeds. A cell is
one model and one attack; the command goes on where it stopped. Models are trained by the command line as anybody would,
and attacked through the same functions as `deephash attack`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from measured import Row, arguments_of, finished, show, spread

EPSILON = 8 / 255
SMALLER = (1 / 255, 2 / 255, 4 / 255)
SEEDS = (0, 1, 2)
AWAY = ("pgd", "apgd", "hag", "sdha", "mainstay", "square")
TOWARDS = ("p2p", "dhta", "tha", "prosgan", "mainstay-t", "sdha-t")
OTHERS = ("collide", "evade", "universal")
METHODS = ("OrthoHash", "CSQ", "DPSH", "HashNet")
DEFENCES = ("none", "saat", "cgat", "atrdh")
NOISE = "noise:0.25"  # a defence that is certified
RADIUS = 0.25  # of a certificate: L2, in units of the pixel range
DEFENDED = ("apgd", "hag", "sdha", "mainstay", "square")  # what a defended model is judged by
SLOW = ("tha", "prosgan")  # which train a network before
STEPS = {"square": 500, "prosgan": 1000, "universal": 100}
BITS = {"digits": 64, "cifar": 32}
QUERIES = {"digits": 100, "cifar": 100}
EPOCHS, DEFENDED_EPOCHS = 10, 8


def cells(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield digits first, then CIFAR method by method, what takes long last."""
    attacks = (*AWAY, *TOWARDS, *OTHERS)
    yield from (_cell("digits", "OrthoHash", "none", 0, attack) for attack in attacks)
    judged = (*DEFENDED, "certified")
    yield from (_cell("digits", "OrthoHash", name, 0, attack) for name in DEFENCES[1:] for attack in DEFENDED)
    yield from (_cell("digits", "OrthoHash", NOISE, 0, attack) for attack in judged)
    if options.cifar is None:
        return
    quick = [attack for attack in attacks if attack not in SLOW]
    for seed in SEEDS[: options.seeds]:  # where the time does not suffice, pictures and seeds are cut before attacks
        yield from (_cell("cifar", method, "none", seed, attack) for method in METHODS for attack in quick)
        yield from (_cell("cifar", "OrthoHash", name, seed, attack) for name in DEFENCES[1:] for attack in DEFENDED)
        yield from (_cell("cifar", victim, "none", seed, f"from {other}") for victim in METHODS for other in METHODS)
        yield from (_cell("cifar", method, "none", seed, "tha") for method in METHODS)
        yield from (_cell("cifar", method, NOISE, seed, attack) for method in METHODS for attack in judged)
        for method in METHODS:
            for name in DEFENCES[1:]:
                yield from (_cell("cifar", method, name, seed, attack) for attack in DEFENDED)
        for method in METHODS:
            for name in DEFENCES[:2]:
                yield from (_cell("cifar", method, name, seed, "apgd", epsilon) for epsilon in SMALLER)
        yield _cell("cifar", "OrthoHash", "none", seed, "prosgan")
    yield from (_cell("cifar", method, "none", 0, "prosgan") for method in METHODS[1:])


def _cell(data: str, method: str, defence: str, seed: int, attack: str, epsilon: float = EPSILON) -> dict[str, Any]:
    return {"data": data, "method": method, "defence": defence, "seed": seed, "attack": attack, "epsilon": epsilon}


def trained(options: argparse.Namespace, data: str, method: str, defence: str, seed: int) -> Path:
    """Return the run of a model; train it where it is not there."""
    folder: Path = options.runs / f"{data}-{method}-{defence.replace(':', '-')}-{seed}"
    record = folder / "run.json"
    if record.is_file() and json.loads(record.read_text()).get("test_scores"):
        return folder
    words = ["train", "--config", "orthohash/digits_64"]
    if data == "cifar":
        words = ["train", "--config", "orthohash/cifar10_jpeg_end_to_end_64", "--bits", str(BITS[data])]
        words += ["--backbone", "cifar_resnet:20", "--weights", str(options.weights / "cifar10_resnet20.safetensors")]
        epochs = EPOCHS if defence == "none" else DEFENDED_EPOCHS
        words += ["--epochs", str(epochs), f"--data.init_args.file={options.cifar}"]
        factor = 0.1 if defence == "none" else 1.0  # a network that is to become robust has to change as a whole
        words += ["--model.init_args.optimizer.learning_rate=0.001"]
        words += [f"--model.init_args.optimizer.backbone_factor={factor}"]
    if method != "OrthoHash":
        words += ["--method", method]
    if defence != "none":  # which begin with a model that was trained without them, as in the papers
        words += ["--defence", defence, "--start-from", str(trained(options, data, method, "none", seed))]
    words += ["--seed", str(seed), "--out", str(folder)]
    if (folder / "last.ckpt").is_file():  # it was interrupted
        words = ["train", "--resume", str(folder)]
    deephash(words)
    return folder


def deephash(words: list[str]) -> str:
    """Run a command as anybody would, and return what it printed."""
    program = [str(Path(sys.executable).with_name("deephash")), *words]
    environment = {**os.environ, "DEEPHASH_QUIET": "1"}
    return subprocess.run(program, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


def certify(run: Path, queries: int) -> Row:
    """Return what no attack within the radius can take from the smoothed codes of a run."""
    folder = run.parent / "certificates" / run.name
    sigma = NOISE.partition(":")[2]
    words = ["certify", str(run), "--sigma", sigma, "--radius", str(RADIUS), "--queries", str(queries)]
    report = json.loads(deephash([*words, "--out", str(folder), "--json"]))
    figures = {figure["metric"]: figure for figure in report["figures"]}
    bound = figures[f"certified mAP@all l2<={RADIUS}"]
    return {
        "mAP@all": figures["mAP@all"]["value"],
        "certified mAP@all": bound["value"],
        "queries": queries,
        "protocol": bound["protocol"],
    }


@cache
def subject(folder: Path, queries: int) -> Any:
    """Return the queries of a run that are attacked, its database, and what an attacker knows."""
    from deephash.attacks.subject import subject_of

    return subject_of(folder, queries=queries, seed=0)


def measure(
    data: str, method: str, defence: str, seed: int, attack: str, epsilon: float, options: argparse.Namespace
) -> Row:
    """Return the figures of one attack on one model."""
    from deephash.attacks.aims import aims_of
    from deephash.attacks.catalogue import make_attack
    from deephash.attacks.measuring import measure as measured
    from deephash.attacks.running import Job, run_attack
    from deephash.evaluation.settings import Settings
    from deephash.models import load_model

    folder = trained(options, data, method, defence, seed)
    if attack == "certified":
        return certify(folder, QUERIES[data])
    victim = subject(folder, QUERIES[data])
    name, targeted = attack.removesuffix("-t"), attack.endswith("-t") or attack in TOWARDS
    rule, source = None, None
    if name.startswith("from "):  # a transfer attack: momentum, by the gradients of another method's model
        source = load_model(trained(options, data, name.removeprefix("from "), "none", seed))
        name, rule = "pgd", "mi"
    made = make_attack(name, epsilon=epsilon, steps=STEPS.get(name, 100), seed=0, rule=rule)
    job = Job(victim, name, made, aims_of(victim, name, targeted=targeted, seed=0), source)
    started = time.perf_counter()
    budget = "" if epsilon == EPSILON else f"-{round(255 * epsilon)}"
    gallery = run_attack(job, options.runs / "attacks" / f"{folder.name}-{attack.replace(' ', '-')}{budget}")
    seconds = time.perf_counter() - started
    report = measured(job, gallery, settings=Settings(resamples=0)).report
    wanted = ("mAP@all", "attacked mAP@all", "t-mAP@all", "clean t-mAP@all", "success@10", "collisions", "flipped bits")
    figures = {each.metric: each.value for each in report.figures}
    found = {metric: figures[metric] for metric in (*wanted, "L-inf", "PSNR", "SSIM") if metric in figures}
    found |= {metric: value for metric, value in figures.items() if "jpeg" in metric or metric.startswith("bound")}
    aimed = next(each for each in report.figures if each.metric in ("t-mAP@all", "attacked mAP@all"))
    if targeted:
        aimed = report.figure("t-mAP@all")
    protocol = str(aimed.protocol)
    return {**found, "seconds": round(seconds, 1), "queries": len(victim.names), "protocol": protocol}


def tables(rows: list[Row]) -> str:
    """Return the tables of the page."""
    blocks = []
    for data, seeds in (("digits", 1), ("cifar", len({row["seed"] for row in rows if row["data"] == "cifar"}))):
        every = [row for row in rows if row["data"] == data]
        mine = [row for row in every if row["epsilon"] == EPSILON]
        if mine:
            blocks += [f"### {data}", *(_table(mine, data, targeted, seeds) for targeted in (False, True))]
            if any(row["defence"] != "none" for row in mine):
                blocks.append(_defence_table(mine, seeds))
            blocks += _transfer_table(mine, seeds)
            blocks += _budget_table(every, seeds)
            blocks.append(f"Protocol, of one cell: `{mine[0]['protocol']}`")
    return "\n\n".join(blocks)


def _table(rows: list[Row], data: str, targeted: bool, seeds: int) -> str:
    metric = "t-mAP@all" if targeted else "attacked mAP@all"
    undefended = [row for row in rows if row["defence"] == "none" and not row["attack"].startswith("from ")]
    undefended = [row for row in undefended if ("t-mAP@all" in row) == targeted]
    methods = list(dict.fromkeys(row["method"] for row in undefended))
    head = ["attack", *methods, "after JPEG 90", "bits turned", "bound", "seconds"]
    lines = [head, ["---"] * len(head)]
    if not targeted:
        clean = [_mean(undefended, seeds, "mAP@all", method=method) for method in methods]
        lines.append(["none", *clean, "", "", "", ""])
    for attack in dict.fromkeys(row["attack"] for row in undefended):
        own = [row for row in undefended if row["attack"] == attack]
        figures = [_mean(own, seeds, metric, method=method) for method in methods]
        first = [row for row in own if row["method"] == methods[0]]
        more = [_mean(first, seeds, f"{metric} jpeg90"), _mean(first, seeds, "flipped bits", digits=1)]
        bound = _mean(first, seeds, f"bound of {metric}")
        lines.append([attack, *figures, *more, bound, f"{max(row['seconds'] for row in first):.0f}"])
    told = "t-mAP" if targeted else "mAP under attack"
    return f"{told}; the last four columns are of {methods[0]}\n\n" + "\n".join(
        f"| {' | '.join(line)} |" for line in lines
    )


def _defence_table(rows: list[Row], seeds: int) -> str:
    attacks = [name for name in DEFENDED if any(row["attack"] == name and row["defence"] != "none" for row in rows)]
    head = ["method", "defence", "clean mAP", *attacks, "lowest", f"certified, L2 {RADIUS}"]
    lines = [head, ["---"] * len(head)]
    for method in dict.fromkeys(row["method"] for row in rows):
        for defence in (*DEFENCES, NOISE):
            own = [row for row in rows if (row["method"], row["defence"]) == (method, defence)]
            if not any(row["attack"] in attacks for row in own):
                continue
            figures = [
                _mean([row for row in own if row["attack"] == name], seeds, "attacked mAP@all") for name in attacks
            ]
            values = [row["attacked mAP@all"] for row in own if row["attack"] in attacks]
            bound = _mean(own, seeds, "certified mAP@all")
            lines.append([method, defence, _mean(own[:1], 1, "mAP@all"), *figures, f"{min(values):.3f}", bound])
    return f"mAP under attack, with and without a defence\n\n{_lines(lines)}"


def _transfer_table(rows: list[Row], seeds: int) -> list[str]:
    moved = [row for row in rows if row["attack"].startswith("from ")]
    if not moved:
        return []
    sources = list(dict.fromkeys(row["attack"] for row in moved))
    lines = [["victim", *sources], ["---"] * (1 + len(sources))]
    for method in dict.fromkeys(row["method"] for row in moved):
        figures = [_mean(moved, seeds, "attacked mAP@all", method=method, attack=source) for source in sources]
        lines.append([method, *figures])
    return [f"Transfer: mAP of a victim under pictures made for another model (MI-FGSM)\n\n{_lines(lines)}"]


def _budget_table(rows: list[Row], seeds: int) -> list[str]:
    """Return mAP under apgd by budget, where smaller ones were tried."""
    tried = [row for row in rows if row["attack"] == "apgd"]
    budgets = sorted({row["epsilon"] for row in tried})
    if len(budgets) < 2:
        return []
    lines = [["method", "defence", "clean", *(f"{round(255 * each)}/255" for each in budgets)]]
    lines.append(["---"] * len(lines[0]))
    for method, defence in dict.fromkeys((row["method"], row["defence"]) for row in tried):
        own = [row for row in tried if (row["method"], row["defence"]) == (method, defence)]
        if len({row["epsilon"] for row in own}) > 1:
            figures = [_mean(own, seeds, "attacked mAP@all", epsilon=each) for each in budgets]
            lines.append([method, defence, _mean(own, seeds, "mAP@all"), *figures])
    return [f"mAP under `apgd` by budget\n\n{_lines(lines)}"]


def _lines(lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _mean(rows: list[Row], seeds: int, metric: str, *, digits: int = 3, **equal: Any) -> str:
    chosen = [row for row in rows if all(row[key] == value for key, value in equal.items())]
    values = [row[metric] for row in chosen if row.get(metric) is not None]
    if digits != 3:
        return f"{sum(values) / len(values):.{digits}f}" if values else "–"
    if metric == "mAP@all":
        values = list({row["seed"]: row[metric] for row in chosen if metric in row}.values())
    return spread(values, seeds)


def main() -> None:
    """Measure what is missing and print the tables."""
    parser = arguments_of(__doc__, runs="folder of the trained models and the attacked pictures")
    parser.add_argument("--cifar", type=Path, help="cifar10_jpeg.npz")
    parser.add_argument("--weights", type=Path, help="folder of cifar10_resnet20.safetensors")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="of the models of CIFAR")
    options = parser.parse_args()
    options.runs = Path(options.runs)
    logging.getLogger("deephash").setLevel(logging.ERROR)
    os.environ.setdefault("DEEPHASH_QUIET", "1")
    rows = finished(options, cells(options), lambda **cell: measure(**cell, options=options))
    show(options.page, tables(rows))


if __name__ == "__main__":
    main()

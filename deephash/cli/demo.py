"""``deephash demo``: the whole toolkit in a minute, on the handwritten digits inside scikit-learn."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deephash.cli.output import note, table
from deephash.errors import UsageError

if TYPE_CHECKING:
    from deephash.data import Digits

BITS = (16, 32, 64)
CONFIG = "orthohash/digits_64"
_MARKER = ".deephash-demo"
Row = tuple[str, str, str, list[float]]


def demo(
    *, serve: bool = True, port: int = 7860, host: str = "127.0.0.1", out: Path = Path("deephash-demo")
) -> int | None:
    """Train on handwritten digits, compare methods, index the digits and serve them: the whole toolkit in a minute.

    Everything is written to one folder: the runs, the digits as pictures, and the collection.

    Args:
        serve: show the page at the end; --no-serve ends after the table.
        port: port of the page.
        host: address the page listens on.
        out: the folder; that of an earlier demo is replaced.
    """
    began = time.monotonic()
    _clear(out)
    note(f"1,797 handwritten digits; everything goes to {out}/")
    trained, data = _train(out / "runs")
    rows = _compare(trained, data)
    collection, queries = _index(data, out, Path(trained[-1]["run"]) / "model")
    header = ("method", "labels", "compares", *(f"{bits} bits" for bits in BITS))
    print(
        table(
            [(name, labels, what, *(f"{score:.3f}" for score in scores)) for name, labels, what, scores in rows], header
        )
    )
    if (why := why_codes_win(rows)) is not None:
        print(f"\n{why}")
    print(f"\nexact mAP@all of {len(data.splits['query'])} digits that no method has seen\n{trained[-1]['protocol']}")
    print(f"done in {time.monotonic() - began:.0f} s\n")
    print(f"search  deephash search {collection} {next((out / 'queries').rglob('*.png'))}")
    print(f"score   deephash evaluate {trained[-1]['run']}")
    if not serve:
        print(f"serve   deephash serve {collection}")
        return None
    from deephash.scoring import evaluate
    from deephash.webui import serve as serve_page

    report = out / "report"
    evaluate(Path(trained[-1]["run"])).save(report, pictures=False)
    print(f"page    http://{host}:{port}   (Ctrl-C ends)", flush=True)
    serve_page([collection, queries], host=host, port=port, reports=[report / "report.json"])
    return None


def _clear(out: Path) -> None:
    """Make room, but never in a folder that is not ours."""
    if out.exists() and any(out.iterdir()):
        if not (out / _MARKER).exists():
            raise UsageError(f"{out} holds something else than a demo; choose another folder with --out")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / _MARKER).write_text("made by `deephash demo`; replaced when it runs again\n")


def _train(runs: Path) -> tuple[list[dict[str, Any]], Digits]:
    """Train OrthoHash at every code length, as ``deephash train --config orthohash/digits_64 --bits ...`` does."""
    from deephash.training.configured import train_one
    from deephash.training.options import TrainOptions

    options = TrainOptions(configs=(CONFIG,), out=runs, rest=("--trainer.accelerator=cpu",))
    reused: dict[str, Any] = {}
    results = [train_one(options, bits, 0, in_grid=True, reused=reused) for bits in BITS]
    return results, next(iter(reused.values()))


def _compare(trained: list[dict[str, Any]], data: Digits) -> list[Row]:
    """Return the rows of the table: codes, and the float vectors behind them as what they could reach at best."""
    from deephash.models import baseline_methods, load_model
    from deephash.scoring import float_mean_average_precision

    network = load_model(Path(trained[-1]["run"]) / "model")
    frozen = _frozen_copy(network)
    data.attach(frozen)
    width = frozen.encoders["image"].num_features
    learned = float_mean_average_precision(data)
    rows: list[Row] = [
        ("OrthoHash", "used", "codes, network trained with them", [each["scores"][""] for each in trained]),
        ("float cosine", "used", f"{width} features of its network, {32 * width:,} bits", [learned] * len(BITS)),
    ]
    for method in reversed(baseline_methods()):
        rows.append(
            (method.__name__, "unused", "codes of 64 grey values", [_shallow(method, bits, data) for bits in BITS])
        )
    raw = float_mean_average_precision(data)
    rows.append(("float cosine", "unused", "64 grey values, 2,048 bits", [raw] * len(BITS)))
    return rows


def why_codes_win(rows: list[Row]) -> str | None:
    """Return why the trained codes are ahead of the float features behind them; None where they are not.

    Args:
        rows: of the table; the first is the codes, the second the features of the same network.
    """
    (name, _, _, codes), (_, _, features, floats) = rows[:2]
    best = max(range(len(codes)), key=codes.__getitem__)
    if codes[best] <= floats[best]:
        return None
    return (
        f"Why {BITS[best]} bits ({codes[best]:.3f}) are ahead of the {features.split(',')[0]} they come from "
        f"({floats[best]:.3f}): {name}\nwas trained so that the codes of a class agree. A bit keeps on which side of a "
        "learned border a digit lies\nand drops how far from it; that is what differs within a class, and the cosine "
        "of the features counts it."
    )


def _shallow(method: Any, bits: int, data: Digits) -> float:
    from deephash.backbones import Backbone
    from deephash.scoring import mean_average_precision_of

    model = method(bits, Backbone("features:64", weights=None))
    data.attach(model)
    model.fit(data.splits["train"].features["image"])
    return mean_average_precision_of(model, data)[""]


def _frozen_copy(model: Any) -> Any:
    """Return the model with its backbone frozen, so that the features of the trained network are cached."""
    from dataclasses import replace

    for encoder in model.encoders.values():
        encoder.spec = replace(encoder.spec, frozen=True)
    return model


def _index(data: Digits, out: Path, model: Path) -> list[Path]:
    """Write database and queries as pictures, and index both: the page shows pictures of collections only."""
    from deephash.encoding import open_encoder
    from deephash.ingest import index_folder

    collections, encoder = [], open_encoder(model, device="auto")
    for part, folder in (("database", out / "digits"), ("query", out / "queries")):
        for name, row in zip(data.splits[part].names, data.splits[part].rows):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            data.table.sources["image"](int(row)).save(path)
        collections.append(folder.with_suffix(".dh"))
        index_folder(folder, collections[-1], encoder, batch_size=128)
    return collections

"""``deephash demo``: the whole toolkit in half a minute, on the handwritten digits inside scikit-learn."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deephash.cli.demo_page import require_page, served
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
    """Train on handwritten digits, index them, serve them, and compare methods: the whole toolkit in half a minute.

    The page opens as soon as the first model is there; the others are trained meanwhile. Everything is written to one
    folder: the runs, the digits as pictures, and the collections.

    Args:
        serve: show the page; --no-serve ends after the table.
        port: port of the page.
        host: address the page listens on.
        out: the folder; that of an earlier demo is replaced.
    """
    began = time.monotonic()
    if serve:
        require_page()
    _clear(out)
    note(f"1,797 handwritten digits; everything goes to {out}/")
    reused: dict[str, Any] = {}
    longest = _train(out / "runs", BITS[-1], reused)
    data: Digits = next(iter(reused.values()))
    collection, queries = _index(data, out, Path(longest["run"]) / "model")
    with served([collection, queries], Path(longest["run"]), out / "report", host, port, wanted=serve) as page:
        trained = [*(_train(out / "runs", bits, reused) for bits in BITS[:-1]), longest]
        _print_results(_compare(trained, data), data, longest)
        print(f"done in {time.monotonic() - began:.0f} s\n")
        print(f"search  deephash search {collection} {next((out / 'queries').rglob('*.png'))}")
        print(f"score   deephash evaluate {longest['run']}")
        return page.wait(f"page    {page.address}   (Ctrl-C ends)" if serve else f"serve   deephash serve {collection}")


def _print_results(rows: list[Row], data: Digits, longest: dict[str, Any]) -> None:
    header = ("method", "labels", "compares", *(f"{bits} bits" for bits in BITS))
    cells = [(name, labels, what, *(f"{score:.3f}" for score in scores)) for name, labels, what, scores in rows]
    print(table(cells, header))
    if (why := why_codes_win(rows)) is not None:
        print(f"\n{why}")
    print(f"\nexact mAP@all of {len(data.splits['query'])} digits that no method has seen\n{longest['protocol']}")


def _clear(out: Path) -> None:
    """Make room, but never in a folder that is not ours."""
    if out.exists() and any(out.iterdir()):
        if not (out / _MARKER).exists():
            raise UsageError(f"{out} holds something else than a demo; choose another folder with --out")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / _MARKER).write_text("made by `deephash demo`; replaced when it runs again\n")


def _train(runs: Path, bits: int, reused: dict[str, Any]) -> dict[str, Any]:
    """Train OrthoHash as ``deephash train --config orthohash/digits_64 --bits ...`` does; data is read once."""
    from deephash.training.configured import train_one
    from deephash.training.options import TrainOptions

    options = TrainOptions(configs=(CONFIG,), out=runs, rest=("--trainer.accelerator=cpu",))
    return train_one(options, bits, 0, in_grid=True, reused=reused)


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

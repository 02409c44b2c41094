"""``deephash data stream``: task lists from any labelled data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

import deephash.data
from deephash.cli.output import note, table
from deephash.data.building import build_data
from deephash.data.stream_drawing import class_stream, domain_stream, extended, modality_stream
from deephash.data.streams import PARTS, STREAM_NAME, Stream, read_stream
from deephash.errors import UsageError, did_you_mean
from deephash.numbers import whole
from deephash.training.configurations import find_config, read_settings

_BY_SUFFIX = {".csv": "Manifest", ".parquet": "Manifest", ".tsv": "Manifest", ".npz": "FeatureFile"}


def stream(
    spec: str | None = None,
    /,
    *,
    out: Path,
    tasks: str | None = None,
    order: str | None = None,
    by: str | None = None,
    corrupt: str | None = None,
    modalities: str | None = None,
    extend: Path | None = None,
    option: tuple[str, ...] = (),
    seed: int = 0,
) -> None:
    """Divide a labelled data set into tasks that arrive one after the other, for lifelong training.

    $ deephash data stream digits --tasks 5,5 --out digits.json
    $ deephash data stream PICTURES --tasks 9,4,4 --order daisy,iris,rose,... --out flowers.json
    $ deephash data stream items.csv --by season --out seasons.json
    $ deephash data stream digits --corrupt clean,rotation:5,blur:4 --out turned.json
    $ deephash data stream orthohash/cifar10_64 --option root=data --tasks 2,2,2,2,2 --out cifar.json
    $ deephash data stream PICTURES --extend flowers.json --out more.json

    Then: deephash train --config NAME --stream FILE, and deephash train --continue-from RUN.

    Args:
        spec: a folder with a sub-folder a class, a .csv, .parquet or .npz, a configuration or run, or a data set by
            name: digits, cifar10, fashionitems, ... Left out with --extend: the data of that stream.
        out: file to write.
        tasks: classes a task, as 5,5: classes arrive.
        order: names of the classes in the order of arrival, joined by commas; by default drawn by --seed.
        by: column whose values are the domains that arrive.
        corrupt: changes of the pictures, a domain each, as clean,rotation:3,blur:2.
        modalities: what arrives, as image,text (one after the other) or image,image+text.
        extend: a stream, or a run, to which what is new in the data is added as one more task; its own tasks (of a
            run on other data: its items, as the first task) stay as they are.
        option: NAME=VALUE of the data set, such as root=data or protocol=cifar10-ii; repeatable.
        seed: of what is drawn.
    """
    kinds = {"--tasks": tasks, "--by": by, "--corrupt": corrupt, "--modalities": modalities, "--extend": extend}
    given = [name for name, value in kinds.items() if value is not None]
    if len(given) != 1:
        raise UsageError(f"say what arrives, by one of {', '.join(kinds)}; given: {', '.join(given) or 'none'}")
    whole(seed, "seed", most=2**32 - 1)
    old = None if extend is None else _extended(extend)
    description = _described(spec, option) if old is None or spec is not None else dict(old.data)
    data = build_data(description, spec or str(extend))
    if old is not None:
        made = extended(old, data, description)
    elif tasks is not None:
        words = order.split(",") if order else None
        made = class_stream(data, description, _sizes(tasks), order=words, seed=seed)
    elif modalities is not None:
        groups = [group.split("+") for group in modalities.split(",")]
        made = modality_stream(data, description, groups, seed=seed)
    else:
        words = order.split(",") if order else None
        kinds_of = None if corrupt is None else corrupt.split(",")
        made = domain_stream(data, description, by=by, values=words, corruptions=kinds_of, seed=seed)
    made.save(out)
    _tell(made, out)


def _extended(given: Path) -> Stream:
    """Return the stream of a file or of a run."""
    if (given / STREAM_NAME).is_file():
        return read_stream(given / STREAM_NAME)
    if given.is_dir():
        from deephash.training.plain_runs import stream_of_run

        return stream_of_run(given)
    return read_stream(given)


def _described(spec: str | None, options: tuple[str, ...]) -> dict[str, Any]:
    if spec is None:
        raise UsageError("which data? a folder, a table, a configuration or a data set by name: deephash data stream X")
    described = _description(spec)
    more = {}
    for text in options:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--option takes NAME=VALUE, such as root=data, not {text!r}")
        more[name] = yaml.safe_load(value)
    return {"class_path": described["class_path"], "init_args": {**(described.get("init_args") or {}), **more}}


def _description(spec: str) -> dict[str, Any]:
    path = Path(spec).expanduser()
    if (path / "config.yaml").is_file():
        return _of_configuration(path / "config.yaml")
    if path.is_dir():
        return {"class_path": "deephash.data.PictureFolder", "init_args": {"root": str(path)}}
    if path.suffix.lower() in _BY_SUFFIX:
        return {"class_path": f"deephash.data.{_BY_SUFFIX[path.suffix.lower()]}", "init_args": {"path": str(path)}}
    known = {name.lower(): name for name in deephash.data.__all__ if name not in ("HashDataModule", "PairingMask")}
    if spec.lower() in known:
        return {"class_path": f"deephash.data.{known[spec.lower()]}", "init_args": {}}
    if "/" not in spec and not path.suffix:
        raise UsageError(f"no data set is called {spec!r}{did_you_mean(spec, sorted(known))}")
    return _of_configuration(find_config(spec))


def _of_configuration(file: Path) -> dict[str, Any]:
    data = read_settings(file).get("data")
    described = {"class_path": data} if isinstance(data, str) else data
    if not isinstance(described, dict) or not isinstance(described.get("class_path"), str):
        raise UsageError(f"{file} names no data set")
    if "." not in described["class_path"]:
        described = {**described, "class_path": f"deephash.data.{described['class_path']}"}
    return described


def _sizes(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--tasks takes numbers of classes joined by commas, as 5,5, not {text!r}") from None


def _tell(made: Stream, out: Path) -> None:
    rows = [
        (number, task.name, *(f"{len(task.items.get(part, ())):,}" for part in PARTS), task.checksum[:19])
        for number, task in enumerate(made.tasks, 1)
    ]
    print(table(rows, ("task", "what arrives", *PARTS, "checksum")))
    note(f"wrote {out}, a stream of {len(made)} tasks; learn the first: deephash train --config NAME --stream {out}")

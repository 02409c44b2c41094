"""Good artefacts, and the ways in which strangers may have made them worse; used by ``hostile_child.py``."""

from __future__ import annotations

import hashlib
import json
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from deephash.backbones import Backbone
from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.hubs import store_hub_bank
from deephash.collection.seen import SeenItems
from deephash.data import FeatureFile, StreamTask
from deephash.data.codebook import CodeBook
from deephash.data.stream_drawing import class_stream
from deephash.evaluation.codefile import CodeFile
from deephash.models import CrossModalInfoNCE, OrthoHash
from deephash.reports import evaluate_codes
from tests.property.hostile_arrays import DEEP, npz_changes, safetensors_changes
from tests.property.hostile_files import other_kinds, replace_file
from tests.property.hostile_rows import row_changes

Change = Callable[[Path, random.Random], None]
KINDS = ("model", "words", "collection", "report", "codes", "run", "stream")
JSON_FILES = {
    "model": ["model.json"],
    "words": ["model.json", "assets/text/vocabulary.json"],
    "collection": ["collection.json"],
    "report": ["report.json"],
    "run": ["run.json"],
    "stream": ["stream.json"],
}
NPZ_FILES = {
    "model": ["learned_codes.npz", "seen.npz", "targets.npz"],
    "stream": ["codebook.npz"],
    "collection": ["hub_bank_image.npz"],
    "report": ["per_query.npz"],
    "codes": ["q.npz"],
}
FILES = {
    "model": ["model.json", "model.safetensors", "learned_codes.npz", "seen.npz", "targets.npz"],
    "words": ["assets/text/vocabulary.json"],
    "collection": ["collection.json", "next_id", "hub_bank_image.npz", "rows.lance"],
    "report": ["report.json", "per_query.npz"],
    "codes": ["q.npz"],
    "run": ["run.json", "config.yaml"],
    "stream": ["stream.json", "codebook.npz"],
}


def make_good(root: Path) -> None:
    """Write one good artefact of each kind into ``root``."""
    rng = np.random.default_rng(0)
    codes = BinaryCodes.from_bits(rng.integers(0, 2, (20, 16)))
    labels = rng.integers(0, 3, 20)
    network = OrthoHash(16, 3, Backbone("features:8", weights=None))
    network.learned_codes = codes
    network.seen = SeenItems.of(contents=["ab" * 16], names=["x"])
    network.save(root / "model")
    both = CrossModalInfoNCE(16, Backbone("features:8", weights=None), Backbone("tfidf:12", weights=None))
    both.encoders["text"].fit_texts(["two dogs on a beach", "a red car", "dogs and cars"])
    both.save(root / "words")
    made = Collection.create(root / "collection", num_bits=16, model=network, vector_dim=4, root=root / "pictures")
    attributes = [{"label": f"c{label}", "year": 2000 + int(label)} for label in labels]
    uris = [f"{row}.png" for row in range(20)]
    made.append(uris=uris, codes=codes, attributes=attributes, vectors=rng.normal(size=(20, 4)))
    store_hub_bank(made, "image", codes[:5])
    evaluate_codes(codes[:5], codes, labels[:5], labels).save(root / "report")
    (root / "codes").mkdir()
    codes.save(root / "codes" / "q.npz", labels=labels, names=uris)
    (root / "run").mkdir()
    (root / "run" / "run.json").write_text(json.dumps({"method": "OrthoHash", "num_bits": 16, "notes": ["x"]}))
    (root / "run" / "config.yaml").write_text("data:\n  class_path: deephash.data.Digits\n  init_args: {seed: 0}\n")
    make_stream(root / "stream")


def make_stream(folder: Path) -> None:
    """Write a stream of two tasks of a file of features, and the codes of the first."""
    folder.mkdir()
    labels = np.arange(60) % 3
    np.savez(folder / "f.npz", image_features=np.eye(3, dtype=np.float32)[labels], labels=labels)
    description = {"class_path": "deephash.data.FeatureFile", "init_args": {"path": str(folder / "f.npz")}}
    class_stream(FeatureFile(str(folder / "f.npz")), description, [2, 1]).save(folder / "stream.json")
    data = StreamTask(str(folder / "stream.json"))
    data.setup()
    names = np.array(data.splits["database"].names)
    codes = BinaryCodes.from_bits(np.arange(len(names))[:, None] >> np.arange(16) & 1)
    CodeBook(CodeFile(codes, names=names, sessions=np.ones(len(names), dtype=np.int64))).save(folder)


# JSON ------------------------------------------------------------------------------------------------

_RAW = "@RAW@"
_TOKENS = ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400, "9223372036854775808", "-5", "1e12", "16.0"]
_VALUES: list[Any] = [
    *(None, True, False, -1, -5, 0, 1.5, 10**12, 10**6, 2**63 - 1, -(2**63), "", "x" * 5000, "../../../etc/passwd"),
    *(
        "/dev/zero",
        "http://127.0.0.1:9/x",
        "hub",
        "\x00",
        "\ud800",
        "\u202egnp.exe",
        [],
        {},
        [1] * 300,
        [[]],
        {"a": {}},
    ),
    *(
        "features:999999999999",
        "features:0",
        "features:-1",
        "small_cnn:1e12",
        "cifar_resnet:600000002",
        "timm:resnet18",
    ),
    *(
        "mobilenet_v1:nan",
        "mobilenet_v1:inf",
        "small_cnn:1e400",
        "tfidf:99999999999",
        "clip:custom",
        "timm:vit_giant_patch14_224",
    ),
    *(_RAW + token for token in _TOKENS),
    _RAW + DEEP,
]
_WORSE_BYTES: list[Callable[[bytes], bytes]] = [
    lambda old: b"",
    lambda old: old[: len(old) // 2],
    lambda old: old.replace(b"{", b"{\xff\xfe", 1),
    lambda old: old.decode().encode("utf-16"),
    lambda old: b"\xef\xbb\xbf" + old,
    lambda old: old + b"\x00",
    lambda old: old + old,
    lambda old: DEEP.encode(),
    lambda old: b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    lambda old: b"[" * 3_000_000,
    lambda old: b'"' + b"x" * 30_000_000 + b'"',
    lambda old: b"{" + b",".join(b'"k%d":[]' % n for n in range(60_000)) + b"}",
    lambda old: old.replace(b"{", b'{"format_version": 1, "format_version": 2, ', 1),
    lambda old: b"null",
    lambda old: b"[]",
    lambda old: b"{}",
    lambda old: b"-",
]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*path, key)
        yield from _places(each, (*path, key))


def change_json(file: str) -> Change:
    """Put a hostile value at a random place, take an entry away, or add one."""

    def change(folder: Path, draw: random.Random) -> None:
        document = json.loads((folder / file).read_text())
        for _ in range(draw.choice([1, 1, 1, 2])):
            places = list(_places(document))
            *way, last = draw.choice(places)
            holder = document
            for step in way:
                holder = holder[step]
            what = draw.random()
            if what < 0.1:
                del holder[last]
            elif what < 0.2 and isinstance(holder, dict):
                holder[draw.choice(["class", "weights", "options", "extra", "\ud800", "x" * 300])] = draw.choice(
                    _VALUES
                )
            else:
                holder[last] = draw.choice(_VALUES)
            if not document:
                break
        text = json.dumps(document)
        for token in [*_TOKENS, DEEP]:
            text = text.replace(f'"{_RAW}{token}"', token)
        (folder / file).write_text(text)

    return change


def set_json(file: str, *way: Any, value: Any) -> Change:
    """Set one entry."""

    def change(folder: Path, draw: random.Random) -> None:
        document = holder = json.loads((folder / file).read_text())
        for step in way[:-1]:
            holder = holder[step]
        holder[way[-1]] = value
        (folder / file).write_text(json.dumps(document))

    return change


# Bytes and kinds of files ------------------------------------------------------------------------------


def set_bytes(file: str, make: Callable[[bytes], bytes]) -> Change:
    """Replace a file's bytes by ``make`` of them."""

    def change(folder: Path, draw: random.Random) -> None:
        path = folder / file
        path.write_bytes(make(path.read_bytes()))
        if path.suffix == ".safetensors":
            _sign(folder)

    return change


def flip_bytes(find: Callable[[Path, random.Random], Path]) -> Change:
    """Flip, cut, or insert a few bytes."""

    def change(folder: Path, draw: random.Random) -> None:
        path = find(folder, draw)
        content = bytearray(path.read_bytes())
        for _ in range(draw.choice([1, 2, 8])):
            place = draw.randrange(len(content))
            if draw.random() < 0.2:
                del content[place:]
                content += bytes([draw.randrange(256)])
            elif draw.random() < 0.3:
                content[place : place + 8] = struct.pack("<q", draw.choice([-1, 0, 2**40, 2**62, 10**12]))
            else:
                content[place] = draw.randrange(256)
        path.write_bytes(bytes(content))
        if path.suffix == ".safetensors":
            _sign(folder)

    return change


def _sign(folder: Path) -> None:
    """Let ``model.json`` fit the weights again, so that they are looked at."""
    document = json.loads((folder / "model.json").read_text())
    document["weights_sha256"] = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (folder / "model.json").write_text(json.dumps(document))


# All ---------------------------------------------------------------------------------------------------


def _file_of_rows(folder: Path, draw: random.Random) -> Path:
    return draw.choice(sorted(path for path in (folder / "rows.lance").rglob("*") if path.is_file()))


def hand_written() -> dict[str, dict[str, Change]]:
    """Return {kind: {name: change}} of everything that was thought of."""
    table: dict[str, dict[str, Change]] = {kind: {"nothing": lambda folder, draw: None} for kind in KINDS}
    for kind, files in FILES.items():
        for file in files:
            for name, make in other_kinds().items():
                table[kind][f"{file} is {name}"] = replace_file(file, make)
    for kind, files in JSON_FILES.items():
        for file in files:
            for number, worse in enumerate(_WORSE_BYTES):
                table[kind][f"{file} bytes {number}"] = set_bytes(file, worse)
    for kind, files in NPZ_FILES.items():
        for file in files:
            for name, make in npz_changes().items():
                if "bomb" not in name or kind in ("model", "codes"):
                    table[kind][f"{file} {name}"] = set_bytes(file, make)
    for name, make in safetensors_changes().items():
        table["model"][f"weights {name}"] = set_bytes("model.safetensors", make)
    for name, change in row_changes().items():
        table["collection"][f"rows {name}"] = change
    for text in (
        "-5",
        "0",
        "19",
        "20",
        "1e3",
        "x",
        "",
        " 21\n",
        "9" * 30,
        "2" * 70,
        "٢٢",
        "+22",
        "0x20",
        "9223372036854775807",
    ):
        table["collection"][f"next_id {text[:8]!r}"] = set_bytes("next_id", lambda old, text=text: text.encode())
    _described(table["model"])
    for name, text in {
        "aliases": "a: &a [x,x,x,x,x,x,x,x]\n"
        + "".join(f"{c}: &{c} [*{p},*{p},*{p},*{p},*{p},*{p},*{p}]\n" for p, c in zip("abcdefgh", "bcdefghi"))
        + "data: *i\n",
        "code": "data: !!python/object/apply:os.system ['true']\n",
        "foreign class": "data:\n  class_path: os.system\n  init_args: {command: 'true'}\n",
        "deep": "data: " + "[" * 5000,
        "wrong options": "data:\n  class_path: deephash.data.Digits\n  init_args: {seed: x, colour: 1}\n",
        "a list": "- 1\n",
        "bytes": "data: \x00\n",
        "huge number": "data:\n  class_path: deephash.data.Digits\n  init_args: {seed: 1" + "0" * 5000 + "}\n",
    }.items():
        table["run"][f"config {name}"] = set_bytes("config.yaml", lambda old, text=text: text.encode())
    return table


def _described(table: dict[str, Change]) -> None:
    """Add what a description may claim."""
    backbone = ("init_args", "backbone")
    for name in (
        "features:999999999999",
        "features:80000000",
        "small_cnn:100000",
        "cifar_resnet:600000002",
        "timm:resnet50",
        "mobilenet_v1:10000",
        "tfidf:999999999",
        "timm:resnet18",
        "features:9",
        "nothing:1",
        "features:٨",
        "torchvision:vgg16",
        "timm:hf-hub:evil/model",
        "clip:ViT-B-32/openai",
        "clip:hf-hub:evil/model",
    ):
        table[f"backbone {name}"] = set_json("model.json", *backbone, "name", value=name)
    for options in ({"colour": 1}, {"pretrained": True}, {"a": {"b": {}}}, [], "x", {"depth": 10**9}):
        table[f"options {options}"] = set_json("model.json", *backbone, "options", value=options)
    for weights in (
        "hub",
        "ra_in1k",
        "/etc/passwd",
        "http://127.0.0.1:9/w.safetensors",
        "../x.pt",
        "~/x.pth",
        5,
        ["hub"],
    ):
        table[f"weights {weights}"] = set_json("model.json", *backbone, "weights", value=weights)
    for size in (10**12, 0, -1, 1.5, True, "x"):
        table[f"image_size {size}"] = set_json("model.json", *backbone, "image_size", value=size)
        table[f"num_bits {size}"] = set_json("model.json", "init_args", "num_bits", value=size)
        table[f"said num_bits {size}"] = set_json("model.json", "num_bits", value=size)
        table[f"num_levels {size}"] = set_json("model.json", "num_levels", value=size)
        table[f"num_classes {size}"] = set_json("model.json", "init_args", "num_classes", value=size)
        table[f"reserve {size}"] = set_json("model.json", "init_args", "reserve", value=size)
    for size in (1_000_000, 65_536, 2_000_000):
        table[f"num_bits {size}"] = set_json("model.json", "init_args", "num_bits", value=size)
        table[f"num_classes {size}"] = set_json("model.json", "init_args", "num_classes", value=size)
        table[f"reserve {size}"] = set_json("model.json", "init_args", "reserve", value=size)
    for nested in ([8, 16], [0], [16, 10**9], ["x"], 5, {"lengths": [16], "weighting": "x"}, {"colour": 1}):
        table[f"nested {nested}"] = set_json("model.json", "init_args", "nested", value=nested)
    for kind in ("HashModel", "os.system", "", "OrthoHash ", "load_model", "LSH", "CSCENet", "RREH", 5, None):
        table[f"class {kind!r}"] = set_json("model.json", "class", value=kind)
    for entry in (
        "modalities",
        "fingerprint",
        "supervised",
        "format_version",
        "weights_sha256",
        "init_args",
        "deephash",
    ):
        for value in (None, 5, -1, "x", [], {}, True, 10**12, [1], "../.."):
            table[f"{entry} {value!r}"] = set_json("model.json", entry, value=value)


def drawn() -> dict[str, list[tuple[int, Change]]]:
    """Return {kind: [(how many, change)]} of the seeded mutations."""
    table: dict[str, list[tuple[int, Change]]] = {kind: [] for kind in KINDS}
    for kind, files in JSON_FILES.items():
        for file in files:
            table[kind].append((40 if kind != "run" else 10, change_json(file)))
    for kind, files in NPZ_FILES.items():
        for file in files:
            table[kind].append((15, flip_bytes(lambda folder, draw, file=file: folder / file)))
    table["model"].append((30, flip_bytes(lambda folder, draw: folder / "model.safetensors")))
    table["collection"].append((40, flip_bytes(_file_of_rows)))
    return table


def every_artefact(kind: str, seed: int) -> Iterator[tuple[str, Change, int]]:
    """Yield (name, change, seed) of all hostile artefacts of a kind."""
    for name, change in hand_written()[kind].items():
        yield name, change, seed
    for group, (count, change) in enumerate(drawn()[kind]):
        for number in range(count):
            yield f"drawn {group}.{number}", change, seed * 100_000 + group * 1000 + number

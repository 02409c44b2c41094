"""How many changed copies ``deephash dedup`` finds without any option, and what it takes for one.

    python benchmarks/dedup_copies.py --photos PHOTOS --weights WEIGHTS

PHOTOS is a folder of different photographs (../shared/data/demo_photos), WEIGHTS a file for the backbone.
Every second photo gets a changed copy, of nine kinds in turn. Peers: 0.1.0's default (equal codes), and the
usual pHash within 6 bits without a look at the pixels. Prints found copies, wrong pairs, and seconds.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

from deephash.collection import Collection
from deephash.fitting import fit_training_free
from deephash.ingest import index_folder
from deephash.pictures import open_picture, scan_folder
from deephash.search.copies import find_copies, perceptual_codes


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf8").splitlines()
    return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))


def recompressed(picture: Image.Image, quality: int) -> Image.Image:
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(BytesIO(buffer.getvalue())).convert("RGB")


def scaled(picture: Image.Image, factor: float) -> Image.Image:
    return picture.resize((max(1, round(picture.width * factor)), max(1, round(picture.height * factor))))


def trimmed(picture: Image.Image, share: float) -> Image.Image:
    width, height = picture.size
    return picture.crop((int(width * share), int(height * share), int(width * (1 - share)), int(height * (1 - share))))


def stamped(picture: Image.Image) -> Image.Image:
    copy = picture.copy()
    width, height = copy.size
    ImageDraw.Draw(copy).rectangle((0.65 * width, 0.85 * height, 0.98 * width, 0.97 * height), fill="white")
    return copy


def framed(picture: Image.Image) -> Image.Image:
    frame = Image.new("RGB", (picture.width + 16, picture.height + 16))
    frame.paste(picture, (8, 8))
    return frame


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG 30": lambda one: recompressed(one, 30),
    "half size": lambda one: scaled(one, 0.5),
    "third, JPEG 60": lambda one: recompressed(scaled(one, 1 / 3), 60),
    "brighter 30 %": lambda one: ImageEnhance.Brightness(one).enhance(1.3),
    "grey": lambda one: one.convert("L").convert("RGB"),
    "trimmed 2 %": lambda one: trimmed(one, 0.02),
    "trimmed 5 %": lambda one: trimmed(one, 0.05),
    "stamped": stamped,
    "framed": framed,
}


def with_copies(photos: Path, folder: Path) -> dict[str, set[frozenset[str]]]:
    """Write the photographs and the copies; return the true pairs of each kind."""
    true: dict[str, set[frozenset[str]]] = {kind: set() for kind in CHANGES}
    for number, path in enumerate(scan_folder(photos)):
        name = f"{number:04}.png"
        picture = open_picture(path)
        picture.save(folder / name)
        if number % 2 == 0:
            kind = list(CHANGES)[number // 2 % len(CHANGES)]
            copy = f"{number:04} {kind}.png"
            CHANGES[kind](picture).save(folder / copy)
            true[kind].add(frozenset([name, copy]))
    return true


def searches(collection: Collection) -> Iterator[tuple[str, set[frozenset[str]], float]]:
    ids, codes = collection.codes()
    uri = dict(zip(ids.tolist(), (item.uri for item in collection.items(ids))))

    def pairs(groups: list) -> set[frozenset[str]]:
        return {frozenset([uri[group.kept], uri[other]]) for group in groups for other in group.others.tolist()}

    for name, options in {
        "deephash dedup": {},
        "0.1.0: equal codes": {"like": "alike", "radius": 0},
        "codes alone, nearer than chance": {"like": "alike"},
    }.items():
        began = time.perf_counter()
        yield name, pairs(find_copies(collection, ids, codes, **options).groups), time.perf_counter() - began
    for name, options in {
        "--column phash": {},
        "pHash within 6 bits, no look": {"like": "alike", "radius": 6},
    }.items():
        began = time.perf_counter()
        kept, hashes, _ = perceptual_codes(collection, ids)
        yield name, pairs(find_copies(collection, kept, hashes, **options).groups), time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--backbone", default="timm:mobilenetv2_100")
    options = parser.parse_args()
    print(processor())
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder, "pictures")
        pictures.mkdir()
        true = with_copies(options.photos, pictures)
        model = fit_training_free(f"itq:{options.backbone}", pictures, weights=options.weights)
        index_folder(pictures, Path(folder, "p.dh"), model)
        collection = Collection.open(Path(folder, "p.dh"))
        every = set().union(*true.values())
        print(f"{len(collection)} pictures, {len(every)} copies; ITQ-{model.num_bits}")
        print("| | found | " + " | ".join(true) + " | wrong pairs | seconds |")
        print("|---" * (len(true) + 4) + "|")
        for name, found, seconds in searches(collection):
            cells = [f"{len(found & pairs)}/{len(pairs)}" for pairs in true.values()]
            row = [name, f"{len(found & every)}/{len(every)}", *cells, str(len(found - every)), f"{seconds:.1f}"]
            print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    np.seterr(all="raise")
    main()

"""``deephash dedup``: real copies are found with no option at all, and codes that cannot tell are not believed."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from deephash.cli.main import main
from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.ingest import index_folder
from deephash.pictures.details import details, likeness_of_details
from deephash.pictures.lookalike import likeness, miniatures
from deephash.pictures.perceptual import perceptual_hash
from tests.e2e.collection_child import tiny_model

PICTURES = 24


def scene(seed: int, size: tuple[int, int] = (96, 72)) -> Image.Image:
    """A picture with structure of its own at every scale, as photographs have."""
    draw = np.random.default_rng(seed)
    layers = [
        np.asarray(Image.fromarray(draw.integers(0, 256, (side, side, 3), dtype=np.uint8)).resize(size), np.float64)
        for side in (3, 6, 12)
    ]
    return Image.fromarray(np.clip(sum(layers) / 3, 0, 255).astype(np.uint8))


def recompressed(picture: Image.Image, quality: int = 30) -> Image.Image:
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(BytesIO(buffer.getvalue())).convert("RGB")


def stamped(picture: Image.Image) -> Image.Image:
    copy = picture.copy()
    ImageDraw.Draw(copy).rectangle((60, 58, 94, 70), fill="white")
    return copy


def framed(picture: Image.Image) -> Image.Image:
    frame = Image.new("RGB", (picture.width + 6, picture.height + 6))
    frame.paste(picture, (3, 3))
    return frame


CHANGES = {
    "same": lambda one: one,
    "recompressed": recompressed,
    "half": lambda one: one.resize((one.width // 2, one.height // 2)),
    "double": lambda one: one.resize((2 * one.width, 2 * one.height)),
    "brighter": lambda one: ImageEnhance.Brightness(one).enhance(1.25),
    "contrast": lambda one: ImageEnhance.Contrast(one).enhance(0.7),
    "grey": lambda one: one.convert("L"),
    "trimmed": lambda one: one.crop((2, 2, one.width - 2, one.height - 2)),
    "stamped": stamped,
    "framed": framed,
    "small and poor": lambda one: recompressed(one.resize((40, 30)), 60),
    "saturated": lambda one: ImageEnhance.Color(one).enhance(1.6),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 different pictures, and a changed copy of each of the first twelve."""
    path = tmp_path_factory.mktemp("copies") / "pictures"
    path.mkdir()
    for number in range(PICTURES):
        scene(number).save(path / f"{number:02}.png")
    for number, (name, change) in enumerate(CHANGES.items()):
        change(scene(number)).save(path / f"{number:02} {name}.png")
    return path


@pytest.fixture(scope="module")
def indexed(folder: Path) -> Path:
    path = folder.with_name("pictures.dh")
    index_folder(folder, path, tiny_model(64))
    return path


def pairs(capsys: pytest.CaptureFixture[str], *words: object, status: int = 0) -> set[frozenset[str]]:
    """Run dedup, and return who was put together."""
    assert main(["dedup", *map(str, words), "--json"]) == status
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {frozenset([each["keep"]["path"], *(other["path"] for other in each["others"])]) for each in records}


COPIES = {frozenset([f"{number:02}.png", f"{number:02} {name}.png"]) for number, name in enumerate(CHANGES)}


@pytest.mark.parametrize("options", [[], ["--column", "phash"], ["--radius", "64"], ["--grouping", "chain"]])
def test_all_twelve_copies_and_nothing_else(indexed: Path, capsys: pytest.CaptureFixture[str], options: list[str]):
    assert pairs(capsys, indexed, *options) == COPIES


def test_the_answer_says_how_it_was_found(indexed: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["dedup", str(indexed)]) == 0
    said = capsys.readouterr().err
    assert "neighbours within it" in said
    assert "12 confirmed by their pixels; 12 groups; 12 of 36 pictures could go; none was deleted" in said


def test_many_copies_are_doubted(indexed: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["dedup", str(indexed)]) == 0
    assert "Look at some groups before you delete" in capsys.readouterr().err  # 12 of 36
    assert main(["dedup", str(indexed), "--least", "0.9999"]) == 0
    assert "Look at some groups" not in capsys.readouterr().err


def test_files_are_compared_byte_by_byte(indexed: Path, capsys: pytest.CaptureFixture[str]):
    assert pairs(capsys, indexed, "--like", "files") == {frozenset(["00.png", "00 same.png"])}


def test_alike_goes_by_codes_alone(indexed: Path, capsys: pytest.CaptureFixture[str]):
    found = pairs(capsys, indexed, "--like", "alike", "--radius", "0")
    assert frozenset(["00.png", "00 same.png"]) in found
    main(["dedup", str(indexed), "--like", "alike"])
    assert "by their codes alone" in capsys.readouterr().err


def test_a_supervised_model_is_refused_with_ways_that_work(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    from deephash.backbones import Backbone
    from deephash.models import OrthoHash

    model = OrthoHash(16, 3, Backbone("small_cnn:2", weights=None, image_size=8)).eval()
    index_folder(folder, tmp_path / "classes.dh", model)
    classes = tmp_path / "classes.dh"
    assert main(["dedup", str(classes)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "codes of OrthoHash, a supervised model" in said
    assert f"deephash dedup {classes} --column phash" in said.replace(" \\ ", " ")
    assert pairs(capsys, classes, "--column", "phash") == COPIES
    assert pairs(capsys, classes, "--force") == COPIES  # candidates are still confirmed by their pixels
    assert pairs(capsys, classes, "--like", "files") == {frozenset(["00.png", "00 same.png"])}
    record = next((classes / "models").glob("*/model.json"))
    old = json.loads(record.read_text())
    del old["supervised"]  # as 0.1.0 wrote it
    record.write_text(json.dumps(old))
    assert main(["dedup", str(classes)]) == 2


def test_imported_codes_are_compared_without_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    bits = np.random.default_rng(0).integers(0, 2, (50, 64))
    bits[1] = bits[0]
    collection = Collection.create(tmp_path / "c.dh", num_bits=64)
    collection.append(uris=[f"u{row}" for row in range(50)], codes=BinaryCodes.from_bits(bits))
    assert pairs(capsys, tmp_path / "c.dh") == {frozenset(["u0", "u1"])}
    main(["dedup", str(tmp_path / "c.dh")])
    assert "by their codes alone, as the pictures are not at hand" in capsys.readouterr().err


def test_pictures_that_are_gone_are_counted(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    import shutil

    shutil.copytree(folder, tmp_path / "p")
    index_folder(tmp_path / "p", tmp_path / "p.dh", tiny_model(64))
    (tmp_path / "p" / "00.png").unlink()
    assert len(pairs(capsys, tmp_path / "p.dh")) == 11
    main(["dedup", str(tmp_path / "p.dh")])
    assert "1 pictures could not be looked at" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--like", "twins"], ["--least", "0"], ["--least", "2"], ["--radius", "near"]])
def test_wrong_options_are_explained(indexed: Path, capsys: pytest.CaptureFixture[str], words: list[str]):
    assert main(["dedup", str(indexed), *words]) == 2
    assert capsys.readouterr().err


def test_codes_that_everybody_shares_are_refused(tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("deephash.search.copies.MOST_PAIRS", 100)
    collection = Collection.create(tmp_path / "c.dh", num_bits=8)
    collection.append(uris=[f"u{row}" for row in range(50)], codes=BinaryCodes.from_bits(np.zeros((50, 8))))
    assert main(["dedup", str(tmp_path / "c.dh")]) == 2
    assert "1,225 pairs of these 50 items share a code" in capsys.readouterr().err


# The look at pixels --------------------------------------------------------------------------------


def alike(first: Image.Image, second: Image.Image) -> float:
    return float(likeness(miniatures(first)[None], miniatures(second)[None])[0])


@pytest.mark.parametrize("name", CHANGES)
def test_copies_are_alike_and_strangers_are_not(name: str):
    assert alike(scene(1), CHANGES[name](scene(1))) > 0.9
    assert alike(scene(1), CHANGES[name](scene(2))) < 0.6


def test_pictures_without_texture_are_told_by_their_grey():
    white, grey = Image.new("RGB", (30, 30), "white"), Image.new("RGB", (40, 20), (200, 200, 200))
    assert alike(white, white) == 1
    assert alike(white, grey) == 0
    assert alike(white, scene(1)) < 0.9


def cap(number: int, brim: int = 70, back: int = 88) -> Image.Image:
    """A product on white: an outline that all caps share, nearly, and a cloth of its own."""
    outline = Image.new("L", (120, 160))
    draw = ImageDraw.Draw(outline)
    draw.pieslice((20, 40, back, 130), 180, 360, fill=255)
    draw.ellipse((60, brim, 116, brim + 22), fill=255)
    cloth = np.asarray(scene(number, outline.size)) // 3
    return Image.composite(Image.fromarray(cloth.astype(np.uint8)), Image.new("RGB", outline.size, "white"), outline)


def alike_in_detail(first: Image.Image, second: Image.Image) -> float:
    return float(likeness_of_details(details(first)[None], details(second)[None])[0])


@pytest.mark.parametrize("other", [cap(2, brim=74), cap(2, brim=72, back=91)], ids=["another brim", "another back"])
def test_things_of_one_shape_on_white_differ_in_their_details(other: Image.Image):
    assert alike(cap(1), other) >= 0.9
    assert alike_in_detail(cap(1), other) < 0.9


@pytest.mark.parametrize("name", CHANGES)
def test_copies_keep_their_details(name: str):
    for picture in (scene(1), cap(1)):
        assert alike_in_detail(picture, CHANGES[name](picture)) >= 0.9


def test_products_on_white_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "caps").mkdir()
    for number in range(8):
        cap(number, brim=60 + 3 * number).save(tmp_path / "caps" / f"{number}.png")
    recompressed(cap(3, brim=69)).save(tmp_path / "caps" / "3 again.png")
    index_folder(tmp_path / "caps", tmp_path / "caps.dh", tiny_model(64))
    assert pairs(capsys, tmp_path / "caps.dh") == {frozenset(["3.png", "3 again.png"])}


@pytest.mark.parametrize("way", [Image.Resampling(number) for number in range(4)], ids=lambda way: way.name)
def test_coarse_pictures_are_told_by_their_grey(way: Image.Resampling):
    """Handwritten digits have 8 x 8 pixels of their own, however large the file: 97 % of them had a "copy" once."""
    from sklearn.datasets import load_digits

    small = [Image.fromarray((digit * 15.9).astype(np.uint8)) for digit in load_digits().images[:60]]
    for pictures in (small, [one.resize((96, 96), way) for one in small]):
        shrunk = np.stack([miniatures(one) for one in pictures])
        first, second = np.triu_indices(len(shrunk), 1)
        assert not (likeness(shrunk[first], shrunk[second]) >= 0.9).any()
        assert (likeness(shrunk, shrunk) == 1).all()
    once, twice = (small[0].resize((side, side), way) for side in (96, 192))
    assert alike(once, twice) == 1
    assert alike_in_detail(once, twice) >= 0.9


@pytest.mark.parametrize("seed", range(10))
def test_perceptual_hashes_are_those_of_imagehash(seed: int):
    imagehash = pytest.importorskip("imagehash")
    picture = scene(seed, (97, 61))
    assert (perceptual_hash(picture) == imagehash.phash(picture).hash.ravel()).all()

"""Near-duplicates of queries: recompressed and recoloured copies are found, pictures of the same sky are not."""

import io

import numpy as np
import pytest
from PIL import Image

from deephash.cli.main import main
from deephash.data.check import check_manifest, corrected
from deephash.data.manifests import SplitManifest, manifest_of_rule, read_manifest, write_manifest
from deephash.data.near_duplicates import find_twins, fine_structure, is_cifar10, pictures_below, problem_of
from deephash.errors import UsageError
from tests.e2e.miniatures import compact_cifar10


def picture(seed, brightness=0):
    """A sky of one colour gradient with a few random shapes."""
    draw = np.random.default_rng(seed)
    pixels = np.broadcast_to(np.linspace(90, 200, 64)[:, None, None], (64, 64, 3)).copy()
    for _ in range(12):
        top, left = draw.integers(0, 54, 2)
        pixels[top : top + 9, left : left + 9] += draw.uniform(-90, 90, 3)
    return Image.fromarray(np.clip(pixels + brightness, 0, 255).astype(np.uint8))


def recompressed(image):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=40)
    return Image.open(buffer)


PICTURES = {
    "q1": picture(1), "q2": picture(2), "q3": picture(3),
    "t1": recompressed(picture(1, brightness=20)), "d2": picture(12), "d3": picture(13).resize((48, 48)),
}  # fmt: skip


def split(**lists):
    names = [name for words in lists.values() for name in words.split()]
    ends = np.cumsum([0, *(len(words.split()) for words in lists.values())])
    rows = {name: np.arange(ends[i], ends[i + 1]) for i, name in enumerate(lists)}
    return SplitManifest("toy/v1", tuple(names), ((0,),) * len(names), rows)


LISTS = split(query="q1 q2 q3", train="t1 d2", database="t1 d2 d3")


def test_a_recompressed_and_brightened_copy_is_found():
    (twin,) = find_twins(LISTS, PICTURES.__getitem__)
    assert (twin.query, twin.other) == ("q1", "t1")
    assert 0.9 <= twin.similarity <= 1
    (problem,) = problem_of([twin], 3)
    assert problem.message.startswith("1 of 3 queries (33.3 %) have a near-duplicate")
    assert problem.items == (f"q1 ~ t1 ({twin.similarity:.3f})",)
    fixed = corrected(LISTS, without={"q1"})
    assert fixed.names_of("query") == ["q2", "q3"]
    assert "1 queries with a near-duplicate" in fixed.remarks[-1]
    assert check_manifest(fixed) == []
    assert find_twins(fixed, PICTURES.__getitem__) == []


def test_the_item_itself_is_no_twin_and_empty_pictures_are_like_nothing():
    grey = Image.new("RGB", (32, 32), (120, 130, 140))
    assert not fine_structure(grey).any()
    assert find_twins(split(query="q1 q2", database="q1 q2"), lambda name: PICTURES[name]) == []
    assert find_twins(split(query="a", database="b"), lambda _: grey) == []
    assert problem_of([], 5) == []


@pytest.mark.parametrize("least", [0.0, 1.1, float("nan")])
def test_a_correlation_is_asked_for(least):
    with pytest.raises(UsageError, match="above 0 and at most 1"):
        find_twins(LISTS, PICTURES.__getitem__, least=least)


def test_cifar10_is_read_by_the_names_of_its_manifest(tmp_path):
    file = compact_cifar10(tmp_path / "cifar.npz")
    columns = np.load(file)
    manifest = manifest_of_rule("cifar10-ii", columns["labels"].astype(int), n_train_images=int(columns["n_train"]))
    few = {name: rows[:20] for name, rows in manifest.splits.items()}
    small = SplitManifest(manifest.protocol, manifest.names, manifest.labels, few)
    assert is_cifar10(file)
    twins = find_twins(small, pictures_below(file))  # the miniature repeats one picture a class
    assert len(twins) == 20
    assert all(twin.query.startswith("test/") and twin.other.startswith("train/") for twin in twins)
    with pytest.raises(UsageError, match="has no item 'test/50000'"):
        pictures_below(file)("test/50000")


def test_the_command_reports_and_takes_them_out(tmp_path, capsys):
    for name, image in PICTURES.items():
        image.save(tmp_path / f"{name}.png")
    lists = {name: " ".join(f"{item}.png" for item in LISTS.names_of(name)) for name in ("query", "train", "database")}
    write_manifest(split(**lists), tmp_path / "mine.tsv")
    check = ["data", "check", str(tmp_path / "mine.tsv"), "--near-duplicates", "0.9"]
    assert main([*check, "--root", str(tmp_path), "--fix", str(tmp_path / "fixed.tsv")]) == 1
    shown = capsys.readouterr().out
    assert "near-duplicate: 1 of 3 queries (33.3 %)" in shown
    assert "q1.png ~ t1.png (0.9" in shown
    assert read_manifest(tmp_path / "fixed.tsv").names_of("query") == ["q2.png", "q3.png"]
    whole = (tmp_path / "q3.png").read_bytes()
    (tmp_path / "q3.png").write_bytes(whole[:60])  # a damaged one resembles nothing, and ends nothing
    assert main([*check, "--root", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "near-duplicate: 1 of 3 queries" in said.out
    assert "1 pictures could not be looked at and have no near-duplicates: " in said.err
    assert "q3.png: damaged" in said.err
    (tmp_path / "q3.png").write_bytes(whole)
    (tmp_path / "q2.png").unlink()  # a file that is missing is one problem, the twins are another
    assert main([*check, "--root", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert "missing-file: 1 of 6 files" in shown
    assert "near-duplicate: 1 of 3 queries" in shown
    assert main(check) == 2
    assert "--root" in capsys.readouterr().err

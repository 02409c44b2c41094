"""Bringing a collection up to date with a folder, and every file that can stand in the way."""

from __future__ import annotations

import csv
import os
import shutil
import weakref
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.attributes import apply_attributes, read_attributes
from deephash.collection.folder import list_pictures
from deephash.errors import DataError, IncompatibleModel, UsageError
from deephash.ingest import IngestReport, index_folder, update
from tests.e2e.collection_child import tiny_model


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def draw(file: Path, seed: int, side: int = 8) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(file)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    for number, name in enumerate(["cat/1.png", "cat/2.png", "dog/1.png", "top.png", "dog/ü 日本.png"]):
        draw(root / name, number)
    return root


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "x.dh"


def counts(report: IngestReport) -> tuple[int, ...]:
    """Added, changed, renamed, removed, unchanged, skipped."""
    return (report.added, report.changed, report.renamed, report.removed, report.unchanged, len(report.skipped))


def as_fresh(out: Path, folder: Path, model) -> bool:
    """Say whether the collection holds what a new one would: the same uris with the same codes."""
    collection = Collection.open(out)
    ids, codes = collection.codes()
    mine = {item.uri: code.hex()[0] for item, code in zip(collection.items(ids), codes)}
    files = [path for path in sorted(folder.rglob("*.png")) if path.is_file()]
    wanted = model.encode_images(files).hex()
    return mine == {path.relative_to(folder).as_posix(): code for path, code in zip(files, wanted)}


def test_no_picture_is_held_until_the_commit(folder, out, model):
    for number in range(40):
        draw(folder / "many" / f"{number}.png", 100 + number)
    encoder = update.StreamEncoder(model)
    made: list[weakref.ref] = []  # arrays cannot be hashed
    transform = encoder.transform
    encoder.transform = lambda picture: (made.append(weakref.ref(row := transform(picture))), row)[1]
    jobs = [(file, None) for file in list_pictures(folder, folder).files]
    kept, most = [], 0
    for batch in encoder.stream(jobs, batch_size=4, workers=1):
        kept.append(batch)
        most = max(most, sum(each() is not None for each in made))
    assert sum(len(batch.opened) for batch in kept) == 45
    assert most <= 3 * 4  # the batches of the stream: one a worker, and two that wait


def test_a_new_collection_holds_codes_and_attributes(folder: Path, out: Path, model) -> None:
    assert counts(index_folder(folder, out, model, batch_size=2)) == (5, 0, 0, 0, 0, 0)
    assert as_fresh(out, folder, model)
    collection = Collection.open(out)
    items = {item.uri: item for item in collection.items(collection.ids())}
    cat = items["cat/1.png"].attributes
    assert (cat["label"], cat["folder"], cat["width"], cat["height"]) == ("cat", "cat", 8, 8)
    assert cat["size"] == (folder / "cat/1.png").stat().st_size
    assert "label" not in items["top.png"].attributes
    assert collection.picture_path(items["dog/ü 日本.png"]) == folder / "dog/ü 日本.png"
    assert len(items["cat/1.png"].content_hash) == 32
    assert collection.matching("label=cat and path~'cat/*' and width=8").tolist() == [1, 2]


def test_bringing_it_up_to_date(folder: Path, out: Path, model) -> None:
    index_folder(folder, out, model)
    ids = Collection.open(out).find(["cat/1.png", "cat/2.png", "dog/1.png"])
    assert counts(index_folder(folder, out)) == (0, 0, 0, 0, 5, 0)
    draw(folder / "new/9.png", 9)  # new
    draw(folder / "cat/1.png", 77)  # changed
    (folder / "cat/2.png").rename(folder / "new/renamed.png")
    (folder / "dog/1.png").unlink()
    os.utime(folder / "top.png", (1e9, 1e9))  # touched, the same content
    foretold = index_folder(folder, out, dry_run=True)
    assert counts(foretold) == (1, 2, 1, 1, 1, 0)
    assert counts(index_folder(folder, out)) == (1, 1, 1, 1, 2, 0)
    assert as_fresh(out, folder, model)
    after = Collection.open(out)
    assert after.find(["cat/1.png"]) == {"cat/1.png": ids["cat/1.png"]}, "a changed picture keeps its id"
    assert after.find(["new/renamed.png"]) == {"new/renamed.png": ids["cat/2.png"]}, "and so does a renamed one"
    assert after.items([ids["cat/2.png"]])[0].attributes["label"] == "new"
    assert counts(index_folder(folder, out)) == (0, 0, 0, 0, 5, 0)


def test_dry_run_of_a_new_collection_writes_nothing(folder: Path, out: Path) -> None:
    assert counts(index_folder(folder, out, dry_run=True)) == (5, 0, 0, 0, 0, 0)
    assert not out.exists()


def test_an_interrupt_keeps_what_was_encoded_and_is_resumed(
    folder: Path, out: Path, model, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = update.StreamEncoder.stream

    def interrupted(*arguments: object, **options: object):
        for number, batch in enumerate(stream(*arguments, **options)):
            if number == 3:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(update.StreamEncoder, "stream", interrupted)
    with pytest.raises(KeyboardInterrupt):
        index_folder(folder, out, model, batch_size=1, workers=1)
    monkeypatch.undo()
    assert len(Collection.open(out)) == 3
    assert counts(index_folder(folder, out, model)) == (2, 0, 0, 0, 3, 0)
    assert as_fresh(out, folder, model)


def test_an_interrupt_removes_nothing(folder: Path, out: Path, model, monkeypatch: pytest.MonkeyPatch) -> None:
    index_folder(folder, out, model)
    (folder / "top.png").unlink()
    draw(folder / "later.png", 50)

    def interrupted(*_: object, **__: object):
        raise KeyboardInterrupt

    monkeypatch.setattr(update.StreamEncoder, "stream", interrupted)
    with pytest.raises(KeyboardInterrupt):
        index_folder(folder, out, model)
    assert len(Collection.open(out)) == 5


def test_excluded_entries_are_kept(folder: Path, out: Path, model) -> None:
    index_folder(folder, out, model)
    shutil.rmtree(folder / "dog")
    (folder / "cat/1.png").unlink()
    assert counts(index_folder(folder, out, exclude=["dog", "cat/*"])) == (0, 0, 0, 0, 5, 0)
    assert counts(index_folder(folder, out)) == (0, 0, 0, 3, 2, 0)


def test_exclusion_of_files_that_exist(folder: Path, out: Path, model) -> None:
    index_folder(folder, out, model)
    draw(folder / "cat/1.png", 99)
    assert counts(index_folder(folder, out, exclude=["cat"])) == (0, 0, 0, 0, 5, 0)
    assert counts(index_folder(folder, out)) == (0, 1, 0, 0, 4, 0)


def test_only_a_sub_folder(folder: Path, out: Path, model) -> None:
    index_folder(folder, out, model)
    (folder / "cat/1.png").unlink()
    (folder / "dog/1.png").unlink()
    assert counts(index_folder(folder / "cat", out))[3] == 1
    assert len(Collection.open(out)) == 4
    with pytest.raises(UsageError, match="is not among them"):
        index_folder(folder.parent, out)


def test_a_folder_that_vanishes_loses_nothing(folder: Path, out: Path, model) -> None:
    index_folder(folder, out, model)
    folder.rename(folder.with_name("away"))
    with pytest.raises(DataError, match="nothing was changed"):
        index_folder(folder, out)
    folder.mkdir()  # an empty mount point
    with pytest.raises(DataError, match="holds no pictures, but the collection knows 5"):
        index_folder(folder, out)
    assert len(Collection.open(out)) == 5
    assert counts(index_folder(folder.with_name("away"), out, moved=True)) == (0, 0, 0, 0, 5, 0)
    assert Collection.open(out).root == folder.with_name("away")
    folder.with_name("away").rename(folder)
    shutil.rmtree(folder)
    folder.mkdir()
    assert counts(index_folder(folder, out, moved=True, allow_empty=True)) == (0, 0, 0, 5, 0, 0)


def test_an_unreadable_folder_keeps_its_rows(folder: Path, out: Path, model, monkeypatch: pytest.MonkeyPatch) -> None:
    index_folder(folder, out, model)
    scan = os.scandir

    def refusing(path: str | os.PathLike[str]):
        if str(path).endswith("cat"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    report = index_folder(folder, out)
    assert counts(report) == (0, 0, 0, 0, 5, 1)
    assert report.skipped[0] == ("cat", "the folder cannot be listed: Permission denied")


def test_an_empty_folder_makes_an_empty_collection(tmp_path: Path, out: Path, model) -> None:
    (tmp_path / "empty").mkdir()
    assert counts(index_folder(tmp_path / "empty", out, model)) == (0,) * 6
    assert len(Collection.open(out)) == 0


@pytest.mark.posix
def test_bad_files_are_counted_and_listed(folder: Path, out: Path, model) -> None:
    jpeg = folder / "good.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(jpeg)
    (folder / "truncated.jpg").write_bytes(jpeg.read_bytes()[:900])
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("hello")
    (folder / "notes.txt").write_text("hello")
    (folder / "no_suffix").write_text("hello")
    os.mkfifo(folder / "pipe.png")
    (folder / "link.png").symlink_to(jpeg)
    (folder / "broken.png").symlink_to(folder / "absent.png")
    (folder / ("long" * 60 + ".jpg")).write_bytes(jpeg.read_bytes())
    Image.new("CMYK", (9, 9)).save(folder / "cmyk.jpg")
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(folder / "deep.png")
    with open(os.fsencode(folder) + b"/bad\xff.png", "wb") as file:
        file.write(b"x")
    report = index_folder(folder, out, model, batch_size=3)
    reasons = dict(report.skipped)
    assert counts(report) == (9, 0, 0, 0, 0, 9)
    for name, reason in {
        "truncated.jpg": "truncated", "empty.png": "empty file (0 bytes)", "text.png": "not a picture in a known",
        "notes.txt": "not a picture by its name (.txt)", "no_suffix": "no suffix", "pipe.png": "not a regular",
        "link.png": "symbolic link",
        "broken.png": "symbolic link", "bad\\udcff.png": "not valid UTF-8",
    }.items():  # fmt: skip
        assert reason in reasons[name], name
    with (out / "skipped.csv").open(encoding="utf-8", newline="") as file:
        assert [row[:2] for row in csv.reader(file)][1:] == [list(one) for one in report.skipped]


@pytest.mark.posix
def test_symbolic_links_when_they_are_wanted(folder: Path, out: Path, model, tmp_path: Path) -> None:
    draw(tmp_path / "elsewhere/far.png", 30)
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "loop").symlink_to(folder)
    (folder / "broken.png").symlink_to(folder / "absent.png")
    report = index_folder(folder, out, model, follow_symlinks=True)
    assert report.added == 6
    assert [path for path, _ in report.skipped] == ["broken.png"]
    assert Collection.open(out).find(["link/far.png"])


def test_rows_of_uploads_are_left_alone(folder: Path, out: Path, model) -> None:
    index_folder(folder, out, model)
    code = BinaryCodes(np.zeros((1, 2), np.uint8), 16)
    Collection.open(out).append(uris=["collection:uploads/a.png"], codes=code)
    assert counts(index_folder(folder, out)) == (0, 0, 0, 0, 5, 0)
    assert len(Collection.open(out)) == 6


def test_vectors_are_kept_where_asked(folder: Path, out: Path, model) -> None:
    index_folder(folder, out, model, keep_vectors=True)
    collection = Collection.open(out)
    ids, codes = collection.codes()
    vectors = collection.vectors(ids)
    assert vectors.shape == (5, model.encoders["image"].num_features)
    assert as_fresh(out, folder, model)
    draw(folder / "more.png", 40)
    index_folder(folder, out)
    assert collection.refresh().vectors(collection.ids()).shape == (6, vectors.shape[1])
    assert len(codes) == 5


def test_another_model_or_precision_is_refused(folder: Path, out: Path, model, tmp_path: Path) -> None:
    index_folder(folder, out, model)
    with pytest.raises(IncompatibleModel, match="holds 16-bit codes of LSH"):
        index_folder(folder, out, tiny_model(8))
    with pytest.raises(UsageError, match="encoded in fp32; codes of two precisions are not mixed"):
        index_folder(folder, out, precision="bf16")
    with pytest.raises(UsageError, match="made without vectors"):
        index_folder(folder, out, keep_vectors=True)
    with pytest.raises(UsageError, match="needs a model"):
        index_folder(folder, tmp_path / "new.dh")
    with pytest.raises(UsageError, match="at least 1"):
        index_folder(folder, out, batch_size=0)


def test_bf16_shows_its_flip_rate(folder: Path, out: Path, model) -> None:
    report = index_folder(folder, out, model, precision="bf16")
    assert report.flip_rate is not None
    assert 0 <= report.flip_rate < 0.2
    assert index_folder(folder, out, precision="bf16").flip_rate is None, "nothing was encoded"


def test_codes_do_not_depend_on_batches_or_threads(folder: Path, out: Path, model, tmp_path: Path) -> None:
    for number, (batch, workers) in enumerate([(1, 1), (2, 3), (64, 2)]):
        target = tmp_path / f"{number}.dh"
        index_folder(folder, target, model, batch_size=batch, workers=workers)
        assert as_fresh(target, folder, model)


def table(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "table.csv"
    file.write_text(text, encoding="utf-8-sig")
    return file


def test_attributes_from_a_table(folder: Path, out: Path, model, tmp_path: Path) -> None:
    head = "path,kind,stars,price,day,sold,code_nr\n"
    text = head + "cat/1.png,tabby,3,1.5,2020-02-03,yes,007\n./dog/1.png,,4,2,,no,12\nx.png,,,,,,\n"
    given = read_attributes(table(tmp_path, text))
    report = index_folder(folder, out, model, attributes=given)
    assert report.unmatched_attributes == ["x.png"]
    collection = Collection.open(out)
    kinds = {name: collection.attribute_kinds[name] for name in ("kind", "stars", "price", "day", "sold", "code_nr")}
    assert list(kinds.values()) == ["text", "integer", "number", "time", "yes/no", "text"]
    assert collection.matching("stars>=4").tolist() == list(collection.find(["dog/1.png"]).values())
    version = collection.version
    assert apply_attributes(collection, given).updated == 0
    assert collection.version == version, "what is there already is not written again"
    draw(folder / "cat/1.png", 60)
    index_folder(folder, out)
    kept = Collection.open(out)
    assert kept.items(list(kept.find(["cat/1.png"]).values()))[0].attributes["kind"] == "tabby"


def test_times_with_a_zone_are_kept_in_utc_as_filters_read_them(tmp_path: Path) -> None:
    given = read_attributes(table(tmp_path, "path,day\na,2020-01-05T10:00+02:00\nb,2020-01-05T09:00\n"))
    assert [row["day"] for row in given.values()] == [datetime(2020, 1, 5, 8), datetime(2020, 1, 5, 9)]
    collection = Collection.create(tmp_path / "x.dh", num_bits=8)
    codes = BinaryCodes(np.zeros((2, 1), np.uint8), 8)
    collection.append(uris=list(given), codes=codes, attributes=list(given.values()))
    assert collection.matching("day = '2020-01-05T10:00+02:00'").tolist() == [0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("name,label\na,b\n", "no column 'path'"),
        ("path,id\na,b\n", "cannot name a column"),
        ("path,my label\na,b\n", "for example 'my_label'"),
        ("path,label\na,b,c\n", "line 2: 3 cells"),
        ("path,label\na,b\na,c\n", "'a' more than once"),
        ("path,day,day\na,b,c\n", "column 'day' twice"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises((UsageError, DataError), match=message):
        read_attributes(table(tmp_path, text))
    with pytest.raises(DataError, match="cannot be read"):
        read_attributes(tmp_path / "absent.csv")


def test_listing_is_in_a_fixed_order(folder: Path) -> None:
    names = [file.uri for file in list_pictures(folder, folder).files]
    assert names == ["top.png", "cat/1.png", "cat/2.png", "dog/1.png", "dog/ü 日本.png"]

"""Tables that anybody wrote: one reader, headings win, words stay as written, kinds widen and never lose."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from deephash.cli.main import main
from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.attributes import apply_attributes, read_attributes, read_kinds
from deephash.collection.exports import export_codes
from deephash.collection.imports import import_codes
from deephash.collection.tables import LABELS, PATH, read_table
from deephash.data import Manifest
from deephash.errors import DataError, DatasetNotFound, DeephashError, UsageError
from deephash.ingest import index_folder
from deephash.training.fitting import check_fit
from tests.e2e.collection_child import tiny_model
from tests.e2e.miniatures import picture_folder

ONE, OTHER = "ff00ff00ff00ff00", "00ff00ff00ff00ff"


def write(tmp_path, name, text):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return tmp_path / name


def names_of(collection):
    return [item.uri for item in collection.items(collection.ids())]


# Codes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("md5.csv", f"phash,file\n{ONE},0cc175b9c0f1b6a831c399e269772661\n{OTHER},92eb5ffee6ae2fec3ad71c777531578f\n",
         ["0cc175b9c0f1b6a831c399e269772661", "92eb5ffee6ae2fec3ad71c777531578f"]),
        ("c.tsv", f"{ONE}\tSmith, John.jpg\n{OTHER}\tDoe, Jane and family.jpg\n",
         ["Smith, John.jpg", "Doe, Jane and family.jpg"]),
        ("q.csv", f'hash,file\n{ONE},"Smith, John.jpg"\n{OTHER},"Doe.jpg"\n', ["Smith, John.jpg", "Doe.jpg"]),
        ("bare.csv", f"{ONE},Smith, John.jpg\n{OTHER},b.jpg\n", ["Smith, John.jpg", "b.jpg"]),
        ("first.csv", f"Smith, John.jpg,{ONE}\nb.jpg,{OTHER}\n", ["Smith, John.jpg", "b.jpg"]),
        ("blank.txt", f"my cat.jpg {ONE}\nb.jpg {OTHER}\n", ["my cat.jpg", "b.jpg"]),
        ("head.csv", f"Hash, File\n{ONE}, a b.jpg\n{OTHER}, c.jpg\n", ["a b.jpg", "c.jpg"]),
        ("line.csv", f'hash,file\n{ONE},"two\nlines.jpg"\n{OTHER},c.jpg\n', ["two\nlines.jpg", "c.jpg"]),
        ("excel.csv", f"hash;file\n{ONE};a.jpg\n{OTHER};b.jpg\n".encode("utf-16"), ["a.jpg", "b.jpg"]),
    ],
)  # fmt: skip
def test_lists_of_codes(tmp_path, name, text, names):
    made = import_codes(write(tmp_path, name, text), tmp_path / "x.dh")
    assert made.codes()[1].hex() == [ONE, OTHER]
    assert names_of(made) == names


def test_headed_columns_beside_the_code_are_attributes(tmp_path):
    text = f"hash,quality,filename,label\n{ONE},100,a.jpg,01\n{OTHER},50,b.jpg,\n"
    made = import_codes(write(tmp_path, "pdq.csv", text), tmp_path / "x.dh")
    assert [item.attributes["quality"] for item in made.items(made.ids())] == [100, 50]
    assert [item.attributes.get("label") for item in made.items(made.ids())] == ["01", None]


def test_the_short_line_is_named(tmp_path):
    path = write(tmp_path, "s.txt", f"{ONE},a.jpg\n{OTHER[:-2]},b.jpg\n")
    with pytest.raises(UsageError, match=r"line 2: '00ff00ff00ff00' is no hexadecimal code of 16 digits, as line 1"):
        import_codes(path, tmp_path / "x.dh")
    assert not (tmp_path / "x.dh").exists()


def test_two_possible_columns_are_a_question(tmp_path, capsys):
    path = write(tmp_path, "two.csv", f"{ONE},0cc175b9c0f1b6a8\n{OTHER},92eb5ffee6ae2fec\n")
    assert main(["collection", "import", str(path), "--out", str(tmp_path / "x.dh")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "all look like codes. Say which: --code-column 1; or name the columns" in said
    words = ["collection", "import", str(path), "--out", str(tmp_path / "x.dh"), "--code-column", "2"]
    assert main(words) == 0
    assert names_of(Collection.open(tmp_path / "x.dh")) == [ONE, OTHER]
    with pytest.raises(UsageError, match="no column '3'; its columns are 1, 2"):
        import_codes(path, tmp_path / "y.dh", code_column="3")


def test_two_headings_of_codes_are_a_question_too(tmp_path):
    """An md5 of the file, headed hash, is no code where phash stands beside it."""
    path = write(tmp_path, "two.csv", f"hash,phash,file\n{2 * ONE},{ONE},a.jpg\n{2 * OTHER},{OTHER},b.jpg\n")
    with pytest.raises(UsageError, match=r"columns 1 .*, 2 .* all look like codes. Say which"):
        import_codes(path, tmp_path / "x.dh")
    assert import_codes(path, tmp_path / "x.dh", code_column="phash").codes()[1].hex() == [ONE, OTHER]


def test_lines_may_end_in_commas(tmp_path):
    made = import_codes(write(tmp_path, "c.csv", f"hash,file,,\n{ONE},a.jpg,,\n{OTHER},b.jpg,,\n"), tmp_path / "x.dh")
    assert names_of(made) == ["a.jpg", "b.jpg"]
    assert read_table(write(tmp_path, "t.csv", "path,label,,\na,x,,\n")).columns == {"path": ["a"], "label": ["x"]}
    assert read_table(write(tmp_path, "e.csv", "path,label\na,\n")).columns == {"path": ["a"], "label": [""]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"hash,file,width\n{ONE},a.jpg,5\n{OTHER},b.jpg,wide\n", "odd.csv, line 3: 'width' is integer of a picture"),
        (f"hash,file,my col\n{ONE},a.jpg,5\n", "odd.csv: 'my col' cannot name a column"),
        (f"hash,file\n0x{ONE},a.jpg\n", f"odd.csv, line 2: '0x{ONE}' is no hexadecimal code, such as"),
    ],
)
def test_columns_of_hashes_that_cannot_be_kept(tmp_path, text, says):
    with pytest.raises(UsageError, match=says):
        import_codes(write(tmp_path, "odd.csv", text), tmp_path / "x.dh")
    assert not (tmp_path / "x.dh").exists()


def test_class_numbers_of_parquet_are_words_and_every_code_has_a_name(tmp_path):
    columns = {"uri": ["a", "b"], "label": [3, -1], "code": pa.array([b"12", b"34"], pa.binary(2))}
    parquet.write_table(pa.table(columns), tmp_path / "p.parquet")
    made = import_codes(tmp_path / "p.parquet", tmp_path / "x.dh")
    assert [item.attributes.get("label") for item in made.items(made.ids())] == ["3", None]
    parquet.write_table(pa.table(columns | {"uri": ["a", None]}), tmp_path / "p.parquet")
    with pytest.raises(UsageError, match="row 1 has no name"):
        import_codes(tmp_path / "p.parquet", tmp_path / "y.dh")


def test_parquet_of_codes_is_opened_like_any_other(tmp_path):
    codes = pa.array([b"12", b"34"], pa.binary(2))
    parquet.write_table(pa.table({"uri": ["a", "b"], "code": codes}), tmp_path / "P.PARQUET")
    assert import_codes(tmp_path / "P.PARQUET", tmp_path / "x.dh").ids().tolist() == [0, 1]
    twice = pa.table([["a", "b"], codes, ["c", "d"]], names=["uri", "code", "uri"])
    parquet.write_table(twice, tmp_path / "twice.parquet")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    for name, says in (("twice", "cannot be read as Parquet: .*uri"), ("torn", "cannot be read as Parquet")):
        for read in (read_table, lambda path: import_codes(path, tmp_path / "y.dh")):
            with pytest.raises(DeephashError, match=says):
                read(tmp_path / f"{name}.parquet")


def test_an_import_that_fails_leaves_nothing_in_the_way(tmp_path):
    odd = pa.table({"uri": ["a"], "width": ["wide"], "code": pa.array([b"12345678"], pa.binary(8))})
    parquet.write_table(odd, tmp_path / "odd.parquet")
    with pytest.raises(UsageError, match="width"):
        import_codes(tmp_path / "odd.parquet", tmp_path / "x.dh")
    assert not (tmp_path / "x.dh").exists()


ODD_NAMES = st.lists(
    st.text(
        st.characters(exclude_categories=["Cs", "Cc"], include_characters="\t\n\r\"',;\\ "), min_size=1, max_size=9
    ),
    min_size=1, max_size=12, unique=True,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(names=ODD_NAMES, bits=st.sampled_from([4, 12, 16, 64]), gone=st.booleans())
@pytest.mark.parametrize("to", ["numpy", "parquet", "hex"])
def test_what_is_exported_comes_back(tmp_path_factory, to, names, bits, gone):
    folder = tmp_path_factory.mktemp("trip")
    codes = BinaryCodes.from_bits(np.random.default_rng(len(names)).integers(0, 2, (len(names), bits)))
    made = Collection.create(folder / "x.dh", num_bits=bits)
    made.append(uris=names, codes=codes, attributes=[{"label": f"{row} |,"[: row % 4]} for row in range(len(names))])
    if gone and len(names) > 1:
        made.remove([0])
    out = folder / {"numpy": "o.npz", "parquet": "o.parquet", "hex": "o.hex"}[to]
    export_codes(made, out, to)
    back = import_codes(out, folder / "back.dh", num_bits=bits)
    assert names_of(back) == names_of(made)
    assert back.codes()[1] == made.codes()[1]
    if to != "hex":
        kept = [[item.attributes.get("label") or None for item in one.items(one.ids())] for one in (made, back)]
        assert kept[0] == kept[1]


# Items ---------------------------------------------------------------------------------------------

ROWS = [(f"p/{row}.png", f"c{row % 3}", "train" if row < 8 else "test") for row in range(12)]


@pytest.mark.parametrize("separator", [",", ", ", ";", "\t"])
@pytest.mark.parametrize("heading", ["label", "labels", "Class", " category "])
def test_labels_of_a_manifest_are_found(tmp_path, separator, heading):
    picture_folder(tmp_path / "p", classes=1, per_class=12)
    head = separator.join(["path", heading, "split"])
    lines = [separator.join([f"p/class0/{row}.png", *cells[1:]]) for row, cells in enumerate(ROWS)]
    data = Manifest(str(write(tmp_path, "items.csv", "\n".join([head, *lines]))))
    data.setup()
    assert data.class_names == ["c0", "c1", "c2"]
    assert len(data.splits["query"]) == 4
    assert not [note for note in data.notes if "not used" in note]


def test_columns_that_nobody_reads_are_named(tmp_path):
    picture_folder(tmp_path / "p", classes=1, per_class=12)
    lines = [f"p/class0/{row}.png,{cells[1]},{cells[2]}" for row, cells in enumerate(ROWS)]
    data = Manifest(str(write(tmp_path, "items.csv", "\n".join(["path,species,split", *lines]))))
    data.setup()
    note = next(note for note in data.notes if "not used" in note)
    assert "species; none gives labels, which are read from labels or label or class" in note
    from deephash.backbones import Backbone
    from deephash.models import OrthoHash

    with pytest.raises(UsageError, match=r"has no labels.*species; none gives labels"):
        check_fit(OrthoHash(8, 3, Backbone("small_cnn:2", weights=None, frozen=False, image_size=8)), data)


WORDS = {
    "yes/no": (["yes", "no"], ["yes", "no", "maybe"]),
    "versions": (["1.10", "1.2"], ["1.10", "1.2", "beta"]),
    "exponents": (["1e1", "2e2"], ["1e1", "2e2", "3f1"]),
    "dates": (["2020-01-05", "2021-01-05"], ["2020-01-05", "2021-01-05", "unknown"]),
    "digits": (["0", "1"], ["0", "1", "2"]),
    "blanks": ([" a", "b "], [" a", "b ", "c"]),
}


@pytest.mark.parametrize("kind", WORDS)
def test_labels_stay_as_written(tmp_path, kind, capsys):
    pictures = picture_folder(tmp_path / "p", classes=1, per_class=12)
    tiny_model(16).save(tmp_path / "model")
    for part, words in zip("qd", WORDS[kind]):
        lines = [f"p/class0/{row}.png,{words[row % len(words)]}" for row in range(12)]
        write(tmp_path, f"{part}.csv", "\n".join(["path,label", *lines]))
        out = ["-o", str(tmp_path / f"{part}.npz"), "--model", str(tmp_path / "model")]
        assert main(["encode", str(tmp_path / f"{part}.csv"), *out]) == 0
        with np.load(tmp_path / f"{part}.npz") as archive:
            assert set(archive["labels"].tolist()) == set(words)
    capsys.readouterr()
    assert pictures.is_dir()
    words = ["--query", str(tmp_path / "q.npz"), "--database", str(tmp_path / "d.npz"), "--json"]
    assert main(["evaluate", *words]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["protocol"].count("12 queries") or "Q=12" in report["protocol"] or "12" in report["protocol"]
    assert not [each for each in report["warnings"] if "no relevant" in each]


# Attributes ----------------------------------------------------------------------------------------


@pytest.fixture
def collection(tmp_path):
    made = Collection.create(tmp_path / "x.dh", num_bits=8)
    made.append(uris=[f"p/{row}.png" for row in range(12)], codes=BinaryCodes(np.zeros((12, 1), np.uint8), 8))
    return made


def apply(collection, tmp_path, text, kinds=()):
    return apply_attributes(collection, read_attributes(write(tmp_path, "t.csv", text), read_kinds(kinds)))


def column(collection, name):
    table = collection.table([name])
    return [value for value in table.column(name).to_pylist() if value is not None]


def test_integers_become_text_when_a_table_needs_it(collection, tmp_path):
    apply(collection, tmp_path, "path,site\np/0.png,0\np/1.png,1\n")
    assert collection.attribute_kinds["site"] == "integer"
    apply(collection, tmp_path, "path,site\np/3.png,7\np/4.png,8b\n")
    assert collection.attribute_kinds["site"] == "text"
    assert column(collection, "site") == ["0", "1", "7", "8b"]
    assert collection.matching("site=8b").tolist() == [4]
    assert Collection.open(collection.path).attribute_kinds["site"] == "text"


def test_post_codes_keep_their_zero(collection, tmp_path):
    apply(collection, tmp_path, "path,zip\np/0.png,10115\np/1.png,20095\n")
    apply(collection, tmp_path, "path,zip\np/4.png,01067\np/5.png,04109\n")
    assert column(collection, "zip") == ["10115", "20095", "01067", "04109"]


def test_integers_become_numbers(collection, tmp_path):
    apply(collection, tmp_path, "path,price\np/0.png,3\n")
    apply(collection, tmp_path, "path,price\np/1.png,2.5\n")
    assert column(collection, "price") == [3.0, 2.5]


def test_a_value_is_read_as_the_columns_kind(collection, tmp_path):
    apply(collection, tmp_path, "path,site\np/0.png,8b\n")
    apply(collection, tmp_path, "path,site\np/1.png,7\n")
    assert column(collection, "site") == ["8b", "7"]


def test_a_kind_can_be_said(collection, tmp_path):
    apply(collection, tmp_path, "path,zip,sure\np/0.png,10115,yes\n", ["zip=text", "sure=text"])
    assert (collection.attribute_kinds["zip"], column(collection, "zip")) == ("text", ["10115"])
    assert column(collection, "sure") == ["yes"]
    with pytest.raises(UsageError, match="'sure' holds text in this collection, and cannot become yes/no"):
        apply(collection, tmp_path, "path,sure\np/0.png,yes\n", ["sure=yes/no"])


@pytest.mark.parametrize(
    ("kinds", "says"),
    [
        (["zip"], "COLUMN=KIND"),
        (["zip=words"], "did you mean|holds text, integer"),
        (["zap=text"], "no column 'zap'"),
        (["zip=integer"], r"line 2: '01067' is no integer"),
    ],
)
def test_wrong_kinds_are_explained(tmp_path, kinds, says):
    with pytest.raises(UsageError, match=says):
        read_attributes(write(tmp_path, "t.csv", "path,zip\na,01067\n"), read_kinds(kinds))


def test_a_clash_is_told_before_any_picture_is_encoded(tmp_path, monkeypatch, capsys):
    folder = picture_folder(tmp_path / "p", classes=1, per_class=4)
    index_folder(folder, tmp_path / "x.dh", tiny_model(16))
    apply(Collection.open(tmp_path / "x.dh"), tmp_path, "path,v\nclass0/0.png,1.5\nclass0/1.png,yes\n", ["v=text"])
    apply(Collection.open(tmp_path / "x.dh"), tmp_path, "path,w\nclass0/0.png,1.5\n")
    (folder / "class0" / "new.png").write_bytes((folder / "class0" / "0.png").read_bytes() + b"x")
    before = Collection.open(tmp_path / "x.dh").version
    monkeypatch.setattr("deephash.ingest.update.StreamEncoder", lambda *_, **__: pytest.fail("it encoded"))
    write(tmp_path, "t.csv", "path,w\nclass0/2.png,2\nclass0/3.png,beta\n")
    assert main(["index", str(folder), "--out", str(tmp_path / "x.dh"), "--attributes", str(tmp_path / "t.csv")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "column 'w' holds number in this collection" in said
    assert "line 3 says 'beta'; nothing was changed" in said
    assert Collection.open(tmp_path / "x.dh").version == before


def test_a_killed_widening_is_finished_by_the_next_writer(collection, tmp_path, monkeypatch):
    apply(collection, tmp_path, "path,zip\np/0.png,10115\n")
    monkeypatch.setattr("deephash.collection.rows.Rows.finish_recasting", lambda self: None)
    collection.widen("zip", "text")  # dies before the copy takes its place
    assert "recast__zip" in collection.attribute_kinds
    monkeypatch.undo()
    again = Collection.open(collection.path)
    again.remove([11])
    assert again.attribute_kinds["zip"] == "text"
    assert "recast__zip" not in again.attribute_kinds
    assert column(again, "zip") == ["10115"]


# The reader ----------------------------------------------------------------------------------------


def test_headings_are_found_whatever_their_case_and_the_better_one_wins(tmp_path):
    table = read_table(write(tmp_path, "t.csv", "Filename,PATH,Category,label\na,b,c,d\n"))
    assert (table.heading(PATH), table.heading(LABELS), table.heading(["size"])) == ("PATH", "label", None)
    assert table.unused(["PATH", "label"]) == ["Filename", "Category"]


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        (b"", UsageError, "is empty"),
        (b"path,label\na\n", DataError, "line 2: 1 cells where the first line names 2"),
        (b'path,label\na,b\n"c,d\n', DataError, "quotes that close"),
        (b"path,label\n\xff\xfe\xfa,b\n", DataError, "iconv -f latin1"),
        (b"path,label,label\na,b,c\n", UsageError, "'label' twice"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path, text, error, says):
    with pytest.raises(error, match=says):
        read_table(write(tmp_path, "t.csv", text))
    with pytest.raises(DatasetNotFound, match="no such file"):
        read_table(tmp_path / "none.csv")


def test_parquet_says_the_same_as_text(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"path": ["a", "b"], "labels": [["x", "y"], None], "yes": [True, False], "code": [b"1", b"2"]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert dict(table.columns) == {"path": ["a", "b"], "labels": ["x|y", ""], "yes": ["true", "false"]}

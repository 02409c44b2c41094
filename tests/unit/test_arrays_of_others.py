"""Arrays of other programs: bytes are words, -1 is no class, huge numbers stay apart, labels survive every format."""

import numpy as np
import pytest

from deephash.cli.main import main
from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.exports import export_codes, left_out
from deephash.collection.imports import import_codes
from deephash.errors import UsageError
from deephash.evaluation.arrays import as_integers, as_labels, as_words
from deephash.evaluation.codefile import read_code_file
from deephash.scoring import evaluate

CODES = BinaryCodes.from_bits(np.random.default_rng(0).integers(0, 2, (60, 32)))
CLASSES = np.where(np.arange(60) < 30, np.arange(60) % 3, -1)
SETS = np.random.default_rng(1).integers(0, 2, (60, 5)).astype(np.uint8)


def written(tmp_path, **columns):
    CODES.save(tmp_path / "x.npz", **columns)
    return tmp_path / "x.npz"


def labels_of(collection):
    return [item.attributes.get("label") for item in collection.items(collection.ids())]


def test_minus_one_is_no_class_in_every_format(tmp_path):
    made = import_codes(written(tmp_path, labels=CLASSES), tmp_path / "x.dh")
    expected = [None if number < 0 else str(number) for number in CLASSES.tolist()]
    assert labels_of(made) == expected
    for to in ("numpy", "parquet"):
        out = tmp_path / f"out.{'npz' if to == 'numpy' else to}"
        export_codes(made, out, to)
        assert labels_of(import_codes(out, tmp_path / f"{to}.dh")) == expected
    report = evaluate(tmp_path / "x.dh")
    assert report.protocol.num_queries == 6, "a fifth of the 30 labelled items ask"


def test_several_labels_survive_and_are_scored_as_such(tmp_path):
    made = import_codes(written(tmp_path, labels=SETS), tmp_path / "x.dh")
    assert labels_of(made)[0] == ("|".join(map(str, np.flatnonzero(SETS[0]))) or None)
    export_codes(made, tmp_path / "out.npz", "numpy")
    assert labels_of(import_codes(tmp_path / "out.npz", tmp_path / "again.dh")) == labels_of(made)
    report = evaluate(tmp_path / "x.dh")
    labelled = np.flatnonzero(SETS.any(axis=1))
    rows = np.sort(np.random.RandomState(0).permutation(labelled)[: len(labelled) // 5])
    rest = np.setdiff1d(np.arange(60), rows)
    CODES[rows].save(tmp_path / "q.npz", labels=SETS[rows])
    CODES[rest].save(tmp_path / "d.npz", labels=SETS[rest])
    direct = evaluate(tmp_path / "q.npz", tmp_path / "d.npz")
    assert report.figure("mAP@all").value == pytest.approx(direct.figure("mAP@all").value, abs=1e-12)


def test_class_names_are_used(tmp_path):
    made = import_codes(written(tmp_path, labels=CLASSES, class_names=["ant", "bee", "cat"]), tmp_path / "x.dh")
    assert labels_of(made)[:4] == ["ant", "bee", "cat", "ant"]
    assert labels_of(made)[-1] is None


def test_a_format_without_room_for_labels_says_so(tmp_path, capsys):
    made = import_codes(written(tmp_path, labels=CLASSES), tmp_path / "x.dh")
    assert left_out(made, "hex") == ["label"]
    assert left_out(made, "parquet") == left_out(made, "numpy") == []
    assert main(["collection", "export", str(tmp_path / "x.dh"), "--to", "hex", "--out", str(tmp_path / "o.hex")]) == 0
    assert "hex has no place for label; --to csv, jsonl and parquet keep them" in capsys.readouterr().err


@pytest.mark.parametrize("column", ["labels", "names", "uris"])
def test_bytes_are_utf8(tmp_path, column):
    words = [f"Möwe {row}" for row in range(60)]
    found = read_code_file(written(tmp_path, **{column: np.array([word.encode() for word in words])}))
    assert (found.labels if column == "labels" else found.names).tolist() == words
    with pytest.raises(UsageError, match="no UTF-8 text"):
        read_code_file(written(tmp_path, **{column: np.array([b"\xff\xfe"] * 60)}))


def test_bytes_are_words_to_the_commands_too(tmp_path, capsys):
    path = written(tmp_path, labels=np.array(["Möwe".encode(), b"tern"] * 30), class_names=np.array([b"x"]))
    assert main(["evaluate", "--query", str(path), "--database", str(path), "--json"]) == 0
    assert "Möwe" in capsys.readouterr().out
    import_codes(path, tmp_path / "x.dh")
    assert labels_of(Collection.open(tmp_path / "x.dh"))[:2] == ["Möwe", "tern"]


def test_numbers_that_would_become_others_are_refused(tmp_path):
    huge = np.array([2**63 + 5, 2**63 + 9, 7] * 20, np.uint64)
    floats = np.array([1e19, 2e19, 3.0] * 20)
    with pytest.raises(UsageError, match="does not fit 64 bits with a sign"):
        read_code_file(written(tmp_path, labels=huge))
    with pytest.raises(UsageError, match="too large for a float"):
        read_code_file(written(tmp_path, labels=floats))
    for column in ("pairs", "sessions"):
        with pytest.raises(UsageError, match="does not fit 64 bits"):
            read_code_file(written(tmp_path, **{column: huge}))
    with pytest.raises(UsageError, match="from 0, or -1 for unlabelled, not -2"):
        read_code_file(written(tmp_path, labels=CLASSES - 1))


def test_large_class_numbers_stay_apart(tmp_path):
    labels = np.array([2**62 + 5, 2**62 + 9, 7] * 20)
    small = np.array([0, 1, 2] * 20)
    scores = []
    for column in (labels, small):
        path = written(tmp_path, labels=column)
        scores.append(evaluate(path, path).figure("mAP@all").value)
    assert scores[0] == pytest.approx(scores[1], abs=1e-12)


def test_the_readers_by_themselves():
    assert as_integers(np.array([3.0, -1.0]), "x").tolist() == [3, -1]
    assert as_integers(np.array([2**63 - 1], np.uint64), "x").tolist() == [2**63 - 1]
    assert as_words(np.array([b"a", "é".encode()]), "x").tolist() == ["a", "é"]
    assert as_labels(np.array([[1], [2]])).tolist() == [1, 2]

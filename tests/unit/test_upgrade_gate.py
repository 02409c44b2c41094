"""The gate: compatible codes pass, independent ones do not, and where nothing can be judged it says why."""

import json
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deephash.codes import BinaryCodes, CodeLayout
from deephash.collection import Collection
from deephash.collection.seen import SeenItems
from deephash.encoding.port import Encoded
from deephash.errors import UsageError
from deephash.evaluation.metrics import mean_average_precision
from deephash.ingest import index_folder
from deephash.reports.protocol import Protocol
from deephash.upgrades.upgrade import Judging, TooFewRows, measure, publish, refusal

CLASSES, EACH = 5, 40


class Painted:
    """Reads the class off a picture's red and a number off its green; codes are the class's row with bits turned.

    A table of rows is what models share or do not share, and ``turned`` is how good one is.
    """

    engine, method, num_levels, precision, picture_side, neutral_phrase = "none", "Painted", 1, "fp32", None, None
    is_mixable, runs_on_cpu = True, True

    def __init__(self, table, turned, bits=32, modalities=("image",)):
        self.table, self.turned, self.num_bits, self.modalities = table, turned, bits, modalities
        self.layout = CodeLayout(bits)
        self.rows = np.random.default_rng(table).integers(0, 2, (CLASSES, bits))

    def fingerprint(self):
        return f"painted-{self.table}-{self.turned}-{self.num_bits}"

    def vector_dim(self):
        return 2

    def prepare(self, modality, item):
        return np.asarray(item.convert("RGB").resize((1, 1)), np.int64).reshape(3)

    def encode(self, modality, rows, *, continuous=False, vectors=False):
        bits = []
        for red, green, blue in rows:
            noise = np.random.default_rng([self.table, self.turned, green, blue]).random(self.num_bits)
            bits.append(self.rows[red // 50] ^ (noise < self.turned / 100))
        made = BinaryCodes.from_bits(np.array(bits))
        return Encoded(made, vectors=np.array(rows, np.float32)[:, :2] if vectors else None)

    def at(self, precision):
        return self

    @contextmanager
    def in_threads(self):
        yield lambda: None

    def unknown_words(self, phrase):
        return []

    def neutral(self):
        raise UsageError("no words")

    def save(self, directory):
        directory.mkdir()
        record = {"format_version": 1, "deephash": "0", "class": "Painted", "num_bits": self.num_bits, "init_args": {}}
        record |= {"modalities": ["image"], "fingerprint": "0" * 16, "weights_sha256": "0" * 64}
        (directory / "model.json").write_text(json.dumps(record))


@pytest.fixture
def pictures(tmp_path):
    for row in range(CLASSES * EACH):
        file = tmp_path / "pictures" / str(row % CLASSES) / f"{row}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (50 * (row % CLASSES), row % 256, row // 256)).save(file)
    return tmp_path / "pictures"


@pytest.fixture
def collection(tmp_path, pictures):
    index_folder(pictures, tmp_path / "x.dh", Painted(1, 30))
    return Collection.open(tmp_path / "x.dh")


def test_a_better_model_of_the_same_targets_is_compatible(collection):
    found = measure(collection, Painted(1, 10), None, Judging())
    assert found.is_compatible
    assert found.is_better
    assert found.keep.interval.low > 0
    assert found.figures["old/old"] < found.figures["new/old"] < found.figures["new/new"]
    protocol = Protocol.parse(found.protocol)
    assert (protocol.series, protocol.num_bits, protocol.dataset) == (
        "compatibility:2",
        32,
        "collection-held-out-draw-40-seed-0",
    )
    assert (protocol.num_queries, protocol.num_database) == (40, 160)


def test_its_figures_are_those_of_the_public_metric(collection, pictures):
    new = Painted(1, 10)
    found = measure(collection, new, None, Judging(seed=3))
    rows = np.random.RandomState(3).permutation(CLASSES * EACH)
    items = collection.items(collection.ids()[rows])
    labels = np.array([int(item.attributes["label"]) for item in items])
    old = collection.codes()[1][rows]
    fresh = new.encode("image", [new.prepare("image", Image.open(pictures / item.uri)) for item in items]).codes
    sides = {"query_labels": labels[:40], "database_labels": labels[40:]}
    assert found.figures["old/old"] == pytest.approx(mean_average_precision(old[:40], old[40:], **sides), abs=1e-12)
    assert found.figures["new/old"] == pytest.approx(mean_average_precision(fresh[:40], old[40:], **sides), abs=1e-12)
    assert found.figures["new/new"] == pytest.approx(mean_average_precision(fresh[:40], fresh[40:], **sides), abs=1e-12)


def test_independent_targets_are_refused_and_only_encoding_everything_anew_helps(collection):
    found = measure(collection, Painted(2, 10), None, Judging())
    assert not found.is_compatible
    assert found.is_better
    assert found.keep.difference < -0.15
    said = refusal(collection, found)
    assert "new queries on old codes are not better than old ones by more than 0 (-0." in said
    assert "--force keeps the old codes for the old model" in said


def test_a_worse_model_passes_neither(collection):
    found = measure(collection, Painted(1, 45), None, Judging())
    assert not found.is_compatible
    assert not found.is_better


def test_the_queries_of_today_are_those_of_the_current_model_though_an_older_one_made_the_codes(
    collection, monkeypatch
):
    current = Painted(1, 5)
    publish(collection, current, measure(collection, current, None, Judging()))
    assert collection.rows_by_model()[2] == 0
    monkeypatch.setattr("deephash.upgrades.sample.open_encoder", lambda folder: current)
    found = measure(collection, Painted(1, 22), None, Judging())
    assert not found.is_compatible  # better than the first, worse than what answers
    assert found.keep.difference < 0
    assert measure(collection, Painted(1, 0), None, Judging()).keep.difference > 0


def test_where_no_row_has_a_code_of_the_current_model_the_others_come_first(collection):
    publish(collection, Painted(2, 10, bits=64), None, force=True)
    assert len(collection.codes()[0]) == 0
    with pytest.raises(
        TooFewRows, match=r"0 of 0 have a picture .*200 more have codes of an older model.*--re-encode now"
    ):
        measure(collection, Painted(3, 10), None, Judging())
    publish(collection, Painted(3, 10), None, force=True)
    assert collection.rows_by_model() == {1: 200, 2: 0, 3: 0}


def test_where_nobody_has_a_right_answer_nothing_can_be_measured_and_force_goes_on(collection):
    with pytest.raises(TooFewRows, match=r"no query of the sample has a right answer .*items of the same uri.*--label"):
        measure(collection, Painted(1, 10), None, Judging(label="uri"))


def test_a_model_that_reads_less_than_the_current_one_takes_force(collection):
    record = collection.model_path / "model.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"modalities": ["image", "text"]}))
    found = measure(collection, Painted(1, 10), None, Judging())
    assert found.is_compatible
    with pytest.raises(UsageError, match=r"is searched by image and text, and Painted reads no text; .*--force"):
        publish(collection, Painted(1, 10), found)
    assert publish(collection, Painted(1, 10), found, force=True).column == "code"


def test_a_margin_refuses_what_is_only_a_little_better(collection):
    found = measure(collection, Painted(1, 10), None, Judging(margin=0.9))
    assert not found.is_compatible
    assert "by more than 0.9" in refusal(collection, found)


def test_codes_of_another_length_cannot_be_compared(collection):
    found = measure(collection, Painted(1, 10, bits=64), None, Judging())
    assert found.keep is None
    assert "new/old" not in found.figures
    assert found.is_better
    assert "codes of 32 bits cannot be compared" in refusal(collection, found)


def test_without_labels_the_overlap_of_neighbours_is_measured_and_nothing_is_judged(collection):
    collection.update(collection.ids(), [{"label": None}] * len(collection))
    found = measure(collection, Painted(1, 30 - 1), None, Judging())
    assert (found.keep, found.renew, found.is_compatible, found.is_better) == (None, None, False, False)
    assert found.figures["old/old"] == 1.0
    assert 0 < found.figures["new/old"] < 1
    assert "overlap@10" in found.protocol
    assert "without labels nobody can say which model is better" in refusal(collection, found)


def test_models_of_one_network_are_judged_by_its_vectors_where_there_are_no_labels(collection):
    collection.update(collection.ids(), [{"label": None}] * len(collection))
    found = measure(collection, Painted(1, 5), None, Judging(), same_network=True)
    assert found.relevance == "the 10 nearest by the network's vectors"
    assert found.is_compatible
    assert "rel=explicit" in found.protocol


def test_rows_that_a_model_was_trained_on_are_not_asked(collection, tmp_path):
    items = collection.items(collection.ids())
    folder = tmp_path / "new"
    folder.mkdir()
    SeenItems.of(contents=[item.content_hash for item in items[:100]]).save(folder)
    found = measure(collection, Painted(1, 10), str(folder), Judging())
    assert found.held_out
    assert Protocol.parse(found.protocol).num_queries == 20  # a fifth of the hundred others
    SeenItems.of(contents=[item.content_hash for item in items]).save(folder)
    found = measure(collection, Painted(1, 10), folder, Judging())
    assert not found.held_out
    assert not found.is_compatible
    assert "one of the models was trained on these pictures" in refusal(collection, found)


def test_pictures_that_changed_or_are_gone_are_left_out(collection, pictures):
    changed = sorted(pictures.glob("0/*.png"))[:10]
    for file in changed:
        Image.new("RGB", (4, 4), (200, 255, 200)).save(file)
    gone = sorted(pictures.glob("1/*.png"))[:10]
    for file in gone:
        file.unlink()
    found = measure(collection, Painted(1, 10), None, Judging())
    protocol = Protocol.parse(found.protocol)
    assert protocol.num_queries + protocol.num_database == CLASSES * EACH - 20


@pytest.mark.parametrize(("model", "judging", "error", "message"), [
    (Painted(1, 30), Judging(), UsageError, "there is nothing to upgrade"),
    (Painted(1, 10, modalities=("text",)), Judging(), UsageError, "reads text, and .* holds pictures"),
    (Painted(1, 10), Judging(label="colour"), UsageError, "no attribute 'colour' to tell which items belong together"),
    (Painted(1, 10), Judging(sample=30), TooFewRows, "measured on at least 50 rows; 30 of 200"),
])  # fmt: skip
def test_what_cannot_be_measured_is_said(collection, model, judging, error, message):
    with pytest.raises(error, match=message):
        measure(collection, model, None, judging)


def test_codes_from_elsewhere_have_no_model_to_be_replaced(tmp_path, pictures):
    made = Collection.create(tmp_path / "y.dh", num_bits=32, root=pictures)
    with pytest.raises(UsageError, match="codes from elsewhere, which no model here made"):
        measure(made, Painted(1, 10), None, Judging())


def unrelated_pairs(collection):
    rows = np.random.RandomState(0).permutation(CLASSES * EACH)
    labels = np.array([item.attributes["label"] for item in collection.items(collection.ids()[rows])])
    return int((labels[:40, None] != labels[None, 40:]).sum())


def test_what_was_found_decides_where_codes_go_and_is_remembered(collection):
    found = measure(collection, Painted(1, 10), None, Judging())
    made = publish(collection, Painted(1, 10), found)
    assert made.column == "code"
    kept = Collection.open(collection.path).current
    assert kept.verdict == "compatible"
    assert kept.evidence["figures"]["new/old"] == pytest.approx(found.figures["new/old"], abs=1e-6)
    assert sum(kept.evidence["chance"]) == sum(kept.evidence["chance_before"]) == unrelated_pairs(collection)


def test_force_keeps_spaces_apart_unless_it_is_told_not_to(collection, tmp_path):
    found = measure(collection, Painted(2, 10), None, Judging())
    with pytest.raises(UsageError, match="--same-space overrides the gate"):
        publish(collection, Painted(2, 10), found, same_space=True)
    made = publish(collection, Painted(2, 10), found, force=True)
    assert made.column != "code"
    assert made.verdict == "not shown to be compatible; forced"
    before = collection.version
    assert publish(collection, Painted(3, 10), None, force=True, same_space=True).column == made.column
    assert Path(collection.path / "models" / "painted-3-10-32").is_dir()
    collection.restore(before)
    assert collection.fingerprint == "painted-2-10-32"

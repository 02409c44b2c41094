"""The encoder without torch: the same rows, the same bits, and a sentence for every damaged file."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from deephash.backbones import Backbone
from deephash.encoding import open_encoder
from deephash.encoding.onnx import OnnxEncoder
from deephash.encoding.readers import clip_row
from deephash.encoding.word_pieces import WordPieces
from deephash.errors import CollectionDamaged, UsageError
from deephash.ingest import index_folder
from deephash.models import ITQ, CSCENet, OrthoHash, load_model
from deephash.models.encoder import TorchEncoder
from deephash.models.exporting import make_portable
from deephash.models.portable import export_portable
from deephash.pictures.middle import is_thin
from deephash.search import Searcher
from tests.e2e.collection_child import tiny_model
from tests.paths import ROOT
from tests.tiny_clip import tiny_clip_model

PHRASES = [
    "a photo of a cat", "don't   worry!!! it's", "éàü naïve façade", "two <start_of_text> dogs <end_of_text>",
    "日本語 text", "emoji 😀😀", "aaa" * 60, "1234 5,6", "&amp;amp; x", "", "'ll ' ''", "aaaaaa abababab",
]  # fmt: skip


def pictures(count, seed=0):
    draw = np.random.default_rng(seed)
    sizes = draw.integers(5, 90, (count, 2))
    return [Image.fromarray(draw.integers(0, 256, (*size, 3), np.uint8)) for size in sizes.tolist()]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return OrthoHash(num_bits=48, num_classes=5, backbone=Backbone("small_cnn:4", weights=None, image_size=24)).eval()


@pytest.fixture
def folder(model, tmp_path):
    model.save(tmp_path / "model")
    return tmp_path / "model"


def rows_of(encoder, items, modality="image"):
    return [encoder.prepare(modality, item) for item in items]


def test_a_saved_model_opens_without_torch_and_gives_the_same_bits(model, folder):
    here, there = TorchEncoder(model), open_encoder(folder)
    assert (here.engine, there.engine) == ("torch", "onnx")
    shown = pictures(40)
    rows = rows_of(there, shown)
    assert all((one == other).all() for one, other in zip(rows, rows_of(here, shown)))
    found, wanted = (each.encode("image", rows, continuous=True, vectors=True) for each in (there, here))
    assert found.codes == wanted.codes
    assert found.continuous == pytest.approx(wanted.continuous, abs=1e-5)
    assert found.vectors == pytest.approx(wanted.vectors, abs=1e-5)
    for name in ("method", "num_bits", "num_levels", "layout", "modalities", "picture_side", "is_mixable"):
        assert getattr(there, name) == getattr(here, name), name
    assert there.fingerprint() == here.fingerprint()
    assert there.vector_dim() == here.vector_dim()


def test_a_code_depends_neither_on_its_neighbours_nor_on_threads(folder, tmp_path):
    encoder = open_encoder(folder)
    rows = rows_of(encoder, pictures(24))
    together = encoder.encode("image", rows, continuous=True).continuous
    for row, alone in zip(rows, together):
        assert (encoder.encode("image", [row], continuous=True).continuous[0] == alone).all()
    assert encoder.encode("image", rows[::-1]).codes[::-1] == encoder.encode("image", rows).codes
    (tmp_path / "p").mkdir()
    for number, picture in enumerate(pictures(24)):
        picture.save(tmp_path / "p" / f"{number}.png")
    codes = []
    for name, size, workers in (("a", 1, 1), ("b", 7, 3), ("c", 32, 2)):
        index_folder(tmp_path / "p", tmp_path / f"{name}.dh", folder, batch_size=size, workers=workers)
        codes.append(Searcher.open(tmp_path / f"{name}.dh").collection.codes()[1])
    assert codes[0] == codes[1] == codes[2]


def test_a_collection_remembers_what_encoded_it(folder, tmp_path):
    (tmp_path / "p").mkdir()
    pictures(1)[0].save(tmp_path / "p" / "0.png")
    for engine, noted in (("auto", "onnx"), ("torch", "torch")):
        index_folder(tmp_path / "p", tmp_path / f"{engine}.dh", folder, engine=engine)
        searcher = Searcher.open(tmp_path / f"{engine}.dh")
        assert searcher.collection.card.notes["engine"] == noted
        assert searcher.encoder.model.engine == noted
    again = Searcher.open(tmp_path / "torch.dh", engine="onnx")
    assert again.encoder.model.engine == "onnx"
    assert again.by_image(tmp_path / "p" / "0.png")[0].distance == 0


def test_a_fitted_model_in_memory_is_saved_first_and_then_encodes_without_torch(tmp_path):
    (tmp_path / "p").mkdir()
    for number, picture in enumerate(pictures(20)):
        picture.save(tmp_path / "p" / f"{number:02}.png")
    model = ITQ(8, Backbone("small_cnn:4", weights=None, image_size=16))
    files = sorted((tmp_path / "p").iterdir())
    transform = model.preprocess("image")
    model.fit(model.features({"image": torch.stack([transform(Image.open(file)) for file in files])}))
    index_folder(tmp_path / "p", tmp_path / "x.dh", model)
    searcher = Searcher.open(tmp_path / "x.dh")
    assert searcher.encoder.model.engine == "onnx"
    assert searcher.collection.codes()[1] == model.encode_images(files)


def test_a_binarisation_of_its_own_goes_along(tmp_path):
    torch.manual_seed(0)
    backbone = Backbone("timm-stages:test_resnet", weights=None, image_size=128)
    model = CSCENet(num_bits=32, num_classes=5, backbone=backbone).eval()
    model.save(tmp_path / "model")
    here, there = TorchEncoder(model), open_encoder(tmp_path / "model")
    assert (there.engine, there.is_mixable) == ("onnx", False)
    rows = rows_of(there, pictures(6))
    assert there.encode("image", rows).codes == here.encode("image", rows).codes


def test_word_pieces_are_open_clips():
    from open_clip.tokenizer import SimpleTokenizer, default_bpe

    theirs, mine = SimpleTokenizer(context_length=20), WordPieces(default_bpe(), 20)
    draw = np.random.default_rng(0)
    letters = [*list("abcdefghij klm'nop.,!?123éß漢😀<>&;_-"), "the ", "ing", "'s"]
    texts = PHRASES + ["".join(draw.choice(letters, draw.integers(1, 40))) for _ in range(300)]
    assert [text for text in texts if (theirs([text])[0].numpy() != mine(text)).any()] == []


@pytest.mark.parametrize("mode", ["shortest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_clips_transform_is_torchvisions(mode, interpolation):
    from open_clip.transform import PreprocessCfg, image_transform_v2

    settings = {
        "size": 32,
        "interpolation": interpolation,
        "resize_mode": mode,
        "mean": [0.4, 0.5, 0.6],
        "std": [0.2, 0.3, 0.4],
    }
    theirs = image_transform_v2(PreprocessCfg(**settings), is_train=False)
    for picture in (each for each in pictures(250, seed=1) if not is_thin(each)):
        assert np.abs(theirs(picture).numpy() - clip_row(settings, picture)).max() < 1e-6


def test_a_model_that_cannot_be_exported_says_so_and_keeps_to_torch(model, tmp_path, monkeypatch):
    monkeypatch.setattr(type(model.encoders["image"]), "portable_reader", lambda *_: None)
    model.save(tmp_path / "model")
    record = json.loads((tmp_path / "model" / "model.json").read_text())
    assert record["portable"] == {"reason": "what small_cnn:4 reads has no form without torch"}
    assert not (tmp_path / "model" / "encoder.onnx").exists()
    assert open_encoder(tmp_path / "model").engine == "torch"
    with pytest.raises(UsageError, match=r"no portable encoder.*no form without torch"):
        open_encoder(tmp_path / "model", engine="onnx")


def test_a_graph_that_differs_from_torch_is_not_kept(model, tmp_path, monkeypatch):
    original = torch.onnx.export

    def other(tower, rows, path, **options):
        broken = type(tower)(tiny_model(48), "image").eval()
        original(broken, (torch.zeros(2, 3, 24, 24),), path, **options)

    monkeypatch.setattr(torch.onnx, "export", other)
    made = export_portable(model, tmp_path)
    assert "differ from torch's by up to" in made["reason"]
    assert list(tmp_path.iterdir()) == []


def test_an_older_folder_gets_one_by_a_command_and_its_weights_stay(model, tmp_path):
    model.save(tmp_path / "model", portable=False)
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    assert open_encoder(tmp_path / "model").engine == "torch"
    make_portable(tmp_path / "model")
    assert open_encoder(tmp_path / "model").engine == "onnx"
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before
    assert load_model(tmp_path / "model").fingerprint() == model.fingerprint()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


@pytest.mark.parametrize("damage", ["changed", "truncated", "gone", "elsewhere", "opset", "domain", "no graph"])
def test_a_damaged_graph_is_refused_in_a_sentence(folder, damage):
    import hashlib

    import onnx

    path = folder / "encoder.onnx"
    if damage == "changed":
        path.write_bytes(path.read_bytes() + b"\0")
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:100])
    elif damage == "gone":
        path.unlink()
    else:
        graph = onnx.load(path)
        if damage == "elsewhere":
            tensor = graph.graph.initializer[0]
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.ClearField("raw_data")
            tensor.external_data.add(key="location", value="../../../etc/passwd")
        elif damage == "opset":
            graph.opset_import[0].version = 9000
        elif damage == "domain":
            graph.graph.node[0].domain = "org.strangers"
            graph.opset_import.add(domain="org.strangers", version=1)
        content = b"nothing" if damage == "no graph" else graph.SerializeToString()
        path.write_bytes(content)
        record = json.loads((folder / "model.json").read_text())
        record["portable"]["towers"]["image"]["sha256"] = hashlib.sha256(content).hexdigest()  # a stranger can
        (folder / "model.json").write_text(json.dumps(record))
    encoder = open_encoder(folder)
    with pytest.raises(CollectionDamaged, match=r"encoder\.onnx"):
        encoder.encode("image", rows_of(encoder, pictures(1)))
    assert open_encoder(folder, engine="torch").encode("image", rows_of(encoder, pictures(1))).codes.num_bits == 48


@pytest.mark.parametrize(("change", "message"), [
    ({"kind": "script"}, "kind"),
    ({"transform": {"size": 24, "resize": 24, "interpolation": "bicubic", "mean": [0, 0, 0], "std": [0, 1, 1]}}, "std"),
    ({"kind": "word-counts", "file": "../../etc/passwd", "width": 3, "called": "x"}, "file"),
])  # fmt: skip
def test_a_strange_description_of_a_reader_is_refused(folder, change, message):
    record = json.loads((folder / "model.json").read_text())
    record["portable"]["towers"]["image"]["reads"] |= change
    (folder / "model.json").write_text(json.dumps(record))
    with pytest.raises(CollectionDamaged, match=message):
        open_encoder(folder)


@pytest.mark.posix
def test_a_link_in_a_strangers_folder_is_not_copied_into_a_collection(folder, tmp_path):
    (tmp_path / "private").write_text("mine")
    (folder / "notes.txt").symlink_to(tmp_path / "private")
    with pytest.raises(CollectionDamaged, match="is no file of the model folder itself"):
        open_encoder(folder).save(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_what_a_portable_encoder_cannot_do_is_said(folder, monkeypatch):
    with pytest.raises(UsageError, match="bf16 takes --engine torch"):
        open_encoder(folder, engine="onnx", precision="bf16")
    with pytest.raises(UsageError, match="computes on the CPU"):
        open_encoder(folder, engine="onnx", device="cuda")
    with pytest.raises(UsageError, match="reads image, not text"):
        open_encoder(folder).prepare("text", "cat")
    with pytest.raises(UsageError, match="reads no phrases"):
        open_encoder(folder).neutral()
    with pytest.raises(UsageError, match="a model in memory is computed by torch"):
        open_encoder(tiny_model(), engine="onnx")


def test_where_there_is_a_gpu_torch_computes_unless_a_collection_goes_on_without(folder, tmp_path, monkeypatch):
    from deephash.encoding import opening
    from deephash.encoding.opening import engine_of

    (tmp_path / "p").mkdir()
    pictures(1)[0].save(tmp_path / "p" / "0.png")
    index_folder(tmp_path / "p", tmp_path / "x.dh", folder)
    made = Searcher.open(tmp_path / "x.dh").collection
    monkeypatch.setattr(opening, "_has_gpu", lambda: True)
    assert open_encoder(folder, device="auto").engine == "torch"
    assert open_encoder(folder, device="auto", engine=engine_of(made, folder)).engine == "onnx"
    monkeypatch.setattr(opening, "find_spec", lambda name: None if name == "onnxruntime" else object())
    assert engine_of(made, folder) == "auto"


def test_without_onnxruntime_torch_takes_over_with_one_line(folder, monkeypatch, caplog):
    from deephash.encoding import opening

    monkeypatch.setattr(opening, "find_spec", lambda name: None if name == "onnxruntime" else object())
    assert open_encoder(folder).engine == "torch"
    (said,) = [record.message for record in caplog.records]
    assert "pip install onnxruntime" in said


def test_nan_is_refused(folder):
    encoder = OnnxEncoder(folder)
    rows = rows_of(encoder, pictures(2))
    rows[1] = np.full_like(rows[1], np.nan)
    with pytest.raises(UsageError, match="1 of 2 continuous codes hold NaN"):
        encoder.encode("image", rows)


HIDDEN = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "lightning", "timm", "torchvision", "open_clip", "torchmetrics"):
            raise ModuleNotFoundError(f"{name} is hidden", name=name)
sys.meta_path.insert(0, Hidden())
"""


def without_torch(code, *arguments):
    """Run code in a Python that cannot import torch and its kin."""
    return subprocess.run(
        [sys.executable, "-c", HIDDEN + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=240,
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = tmp_path_factory.mktemp("bare")
    (made / "p").mkdir()
    for number, picture in enumerate(pictures(12)):
        picture.save(made / "p" / f"{number:02}.png")
    tiny_clip_model().save(made / "clip")
    return made


def test_index_search_and_encode_where_there_is_no_torch(world, tmp_path):
    code = "from deephash.cli.main import main; import sys; sys.exit(main(sys.argv[1:]))"
    for words in (
        ["index", world / "p", "--out", tmp_path / "x.dh", "--model", world / "clip"],
        ["search", tmp_path / "x.dh", world / "p" / "03.png"],
        ["search", tmp_path / "x.dh", "id:3"],
        ["search", tmp_path / "x.dh", "a photo of a cat"],
        ["search", tmp_path / "x.dh", "--image", world / "p" / "03.png", "--text", "at night", "--minus", "people"],
        ["encode", world / "p", "--model", world / "clip", "--out", tmp_path / "c.npz"],
        ["collection", "info", tmp_path / "x.dh"],
        ["collection", "verify", tmp_path / "x.dh"],
        ["dedup", tmp_path / "x.dh", "--column", "phash"],
        ["evaluate", "--query", tmp_path / "c.npz", "--database", tmp_path / "c.npz", "--leave-one-out"],
        ["codes", "stats", tmp_path / "c.npz"],
    ):
        done = without_torch(code, *words)
        assert done.returncode in (
            (0, 1) if words[0] == "dedup" else (0, 2) if words[0] in ("evaluate", "codes") else (0,)
        ), (words, done.stderr)
        assert "hidden" not in done.stderr, (words, done.stderr)
        assert "Traceback" not in done.stderr


def test_the_page_answers_where_there_is_no_torch(world, tmp_path):
    shutil.copytree(world / "p", tmp_path / "p")
    index_folder(tmp_path / "p", tmp_path / "x.dh", world / "clip")
    done = without_torch(
        """
from fastapi.testclient import TestClient
from deephash.webui.app import build_app
from deephash.webui.workspace import Workspace
workspace = Workspace([sys.argv[1]])
workspace.warm_up()
client = TestClient(build_app(workspace), base_url="http://127.0.0.1")
for form in ({"id": 3}, {"text": "a cat"}):
    found = client.post("/api/search", data=form)
    assert found.status_code == 200, found.text
with open(sys.argv[2], "rb") as file:
    found = client.post("/api/search", files={"picture": file})
assert found.json()["hits"][0]["distance"] == 0
assert "torch" not in sys.modules
print("answered")
""",
        tmp_path / "x.dh", tmp_path / "p" / "03.png",
    )  # fmt: skip
    assert done.stdout.strip() == "answered", done.stderr

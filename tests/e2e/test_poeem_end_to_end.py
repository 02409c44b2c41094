"""Product codes beside the codes of a collection: stored by indexing, re-ranked by, searched through Faiss."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file

from deephash.backbones import Backbone
from deephash.cli.main import main
from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.encoding import open_encoder
from deephash.encoding.product import COLUMN, can_rerank, product_index, quantizer_in, quantizer_of
from deephash.errors import CollectionDamaged, UsageError
from deephash.ingest import index_folder
from deephash.models import Poeem
from deephash.search import Options, Part, Query, Searcher


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root, draw = tmp_path_factory.mktemp("product"), np.random.default_rng(0)
    for row in range(60):
        (root / "p" / f"class{row % 3}").mkdir(parents=True, exist_ok=True)
        base = np.full((24, 24, 3), 60 * (row % 3) + 30) + draw.normal(0, 30, (24, 24, 3))
        Image.fromarray(base.clip(0, 255).astype(np.uint8)).save(root / "p" / f"class{row % 3}" / f"{row}.png")
    torch.manual_seed(0)
    model = Poeem(16, Backbone("small_cnn:8", weights=None, image_size=24), parts=4, centroids=9)
    read = model.preprocess("image")
    pictures = torch.stack([read(Image.open(path)) for path in sorted(root.rglob("*.png"))])
    with torch.no_grad():
        model.prepare(model.features({"image": pictures}))
    model.eval().save(root / "run" / "model")
    assert main(["index", str(root / "p"), "--out", str(root / "x.dh"), "--model", str(root / "run")]) == 0
    return root


def vectors_of(world, paths):
    encoder = open_encoder(world / "run")
    rows = [encoder.prepare("image", Image.open(path)) for path in paths]
    return encoder.encode("image", rows, vectors=True).vectors


def test_indexing_stores_product_codes_of_the_vectors_and_no_vectors(world):
    collection = Collection.open(world / "x.dh")
    assert not collection.has_vectors
    assert can_rerank(collection)
    ids, codes = collection.codes(COLUMN)
    assert (len(codes), codes.num_bits) == (60, 32)
    paths = [collection.picture_path(item) for item in collection.items(ids)]
    assert quantizer_of(collection).encode(vectors_of(world, paths)) == codes
    assert collection.codes_of(ids[::-1], COLUMN) == codes[np.arange(59, -1, -1)]


@pytest.mark.parametrize("where", [None, "label = class1"])
def test_reranking_is_the_asymmetric_distance(world, where, capsys):
    collection = Collection.open(world / "x.dh")
    query = world / "p" / "class1" / "7.png"
    allowed = None if where is None else collection.matching(where)
    expected = product_index(collection).search(vectors_of(world, [query]), 8, allowed=allowed)
    answer = Searcher.open(world / "x.dh").ask(Query.of(Part("image", query)), Options(8, rerank=60, where=where))
    assert [hit.id for hit in answer.hits] == expected.ids[0].tolist()
    assert [hit.score for hit in answer.hits] == pytest.approx(expected.scores[0].tolist(), abs=1e-5)
    where_flag = [] if where is None else ["--where", where]
    main(["search", str(world / "x.dh"), str(query), "-k", "8", "--rerank", "60", "--json", *where_flag])
    told = [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()]
    assert told == expected.ids[0].tolist()


def test_an_item_asks_by_what_its_code_stands_for(world):
    searcher = Searcher.open(world / "x.dh")
    collection = searcher.collection
    vector = quantizer_of(collection).decode(collection.codes_of([5], COLUMN))
    expected = product_index(collection).search(vector, 8)
    hits = searcher.by_id(5, 8, rerank=60)
    assert [hit.score for hit in hits] == pytest.approx(expected.scores[0].tolist(), abs=1e-5)
    assert searcher.can_rerank(Query.of(Part("item", 5)))


def test_changed_pictures_have_changed_codes_and_removed_ones_none(world, tmp_path):
    folder = tmp_path / "p"
    folder.mkdir()
    for row in range(4):
        (folder / f"{row}.png").write_bytes((world / "p" / "class0" / f"{3 * row}.png").read_bytes())
    index_folder(folder, tmp_path / "y.dh", world / "run")
    before = dict(zip(Collection.open(tmp_path / "y.dh").ids().tolist(), [None] * 4))
    (folder / "1.png").write_bytes((world / "p" / "class2" / "2.png").read_bytes())
    (folder / "3.png").unlink()
    (folder / "new.png").write_bytes((world / "p" / "class2" / "5.png").read_bytes())
    index_folder(folder, tmp_path / "y.dh")
    collection = Collection.open(tmp_path / "y.dh")
    ids, codes = collection.codes(COLUMN)
    assert len(ids) == 4
    assert len(set(ids.tolist()) - set(before)) == 1
    paths = [collection.picture_path(item) for item in collection.items(ids)]
    assert quantizer_of(collection).encode(vectors_of(world, paths)) == codes


def test_an_upgrade_to_another_model_does_not_read_the_old_product_codes(world, tmp_path):
    index_folder(world / "p" / "class0", tmp_path / "y.dh", world / "run")
    torch.manual_seed(1)
    other = Poeem(16, Backbone("small_cnn:8", weights=None, image_size=24), parts=2, centroids=5)
    other.prepare(torch.randn(80, 32).abs())
    other.eval().save(tmp_path / "other")
    arguments = ["upgrade", str(tmp_path / "y.dh"), "--model", str(tmp_path / "other"), "--re-encode", "now", "--force"]
    assert main(arguments) == 0
    collection = Collection.open(tmp_path / "y.dh")
    assert quantizer_of(collection) is None
    with pytest.raises(UsageError, match="keeps no vectors"):
        Searcher.open(tmp_path / "y.dh").by_id(int(collection.ids()[0]), 3, rerank=9)


def test_what_cannot_be_had_is_said(world, tmp_path):
    assert quantizer_in(None) is quantizer_in(tmp_path) is None
    tensors = load_file(world / "run" / "model" / "model.safetensors")
    (tmp_path / "model").mkdir()
    save_file(tensors | {"product_centroids": np.full((2, 3, 4), np.nan, np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(CollectionDamaged, match=r"codebooks in .* cannot be read"):
        quantizer_in(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(CollectionDamaged, match=r"codebooks in .* cannot be read"):
        quantizer_in(tmp_path)
    empty = Collection.create(tmp_path / "z.dh", num_bits=16)
    with pytest.raises(UsageError, match="no product codes"):
        product_index(empty)
    empty.add_column("more", 8)
    with pytest.raises(UsageError, match="already"):
        empty.add_column("more", 8)
    codes = BinaryCodes(np.zeros((2, 2), np.uint8), 16)
    with pytest.raises(UsageError, match="2 uris, 1 codes"):
        empty.append(uris=["a", "b"], codes=codes, further={"more": BinaryCodes(np.zeros((1, 1), np.uint8), 8)})
    ids = empty.append(uris=["a", "b"], codes=codes)
    with pytest.raises(UsageError, match="2 of these rows have no code in 'more'"):
        empty.codes_of(ids, "more")

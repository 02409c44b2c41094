"""A picture that was decoded to fit a model is not decoded again to be encoded."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

import deephash.pictures.memory as memory_module
from deephash.errors import UnreadablePicture
from deephash.fitting import fit_training_free
from deephash.ingest import index_folder
from deephash.pictures import PictureMemory, read_picture


def paint(path, seed, side=64):
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, quality=95)
    return path.read_bytes()


@pytest.fixture
def decoded(monkeypatch):
    """Return the files that are decoded, by their bytes, wherever a memory or a stream asks for it."""
    seen = []

    def counting(data, **options):
        seen.append(data)
        return read_picture(data, **options)

    monkeypatch.setattr(memory_module, "read_picture", counting)
    monkeypatch.setattr("deephash.ingest.encoder.read_picture", counting)
    return seen


def test_the_same_content_is_decoded_once_for_each_size(tmp_path, decoded):
    data, memory = paint(tmp_path / "a.jpg", 0), PictureMemory()
    first, facts = memory.read(data, reduced_to=32)
    again, same = memory.read(data, reduced_to=32)
    assert first is again
    assert (facts.width, same) == (64, facts)
    assert memory.read(data)[0].size == (64, 64)
    assert len(decoded) == 2


def test_what_passes_the_budget_is_read_again_and_right(tmp_path, decoded):
    small, other = (paint(tmp_path / f"{seed}.png", seed, 10) for seed in (1, 2))
    memory = PictureMemory(most=500)  # one of 400 bytes
    for data in (small, other, small, other):
        assert np.array_equal(memory.read(data)[0], read_picture(data)[0])
    assert [data == small for data in decoded] == [True, False, False]


def test_what_cannot_be_read_is_refused_each_time():
    memory = PictureMemory()
    for _ in range(2):
        with pytest.raises(UnreadablePicture):
            memory.read(b"no picture")


def test_many_threads_keep_within_the_budget(tmp_path):
    files = [paint(tmp_path / f"{seed}.png", seed, 10) for seed in range(12)]
    memory = PictureMemory(most=2000)  # five of 400 bytes
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(memory.read, files * 4))
    assert len(memory._kept) == 5
    assert memory._left == 0


@pytest.mark.parametrize("budget", [1 << 20, 0])
def test_a_training_free_model_decodes_photographs_once(tmp_path, decoded, budget):
    (tmp_path / "photos").mkdir()
    for seed in range(12):
        paint(tmp_path / "photos" / f"{seed}.jpg", seed)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing")
    memory = PictureMemory(budget)
    model = fit_training_free("lsh:small_cnn:8", tmp_path / "photos", 16, "none", memory=memory)
    fitted = len(decoded)
    report = index_folder(tmp_path / "photos", tmp_path / "x.dh", model, engine="torch", memory=memory)
    good = [data for data in decoded[fitted:] if len(data) > 100]
    assert fitted == 13
    assert (report.added, len(report.skipped)) == (12, 1)
    assert len(good) == (0 if budget else 12)

"""The folder of an attack: whole pictures or none, other settings refused, a full disk told."""

import errno

import pytest
import torch

from deephash.attacks.gallery import ADVERSARIAL, CLEAN, Gallery, as_picture
from deephash.errors import DataError, UsageError

SETTINGS = {"attack": "pgd", "epsilon": 8 / 255, "queries": ["a/1.png", "b/2.png"]}


def pixels(value: float) -> torch.Tensor:
    return torch.full((3, 12, 12), value)


def opened(tmp_path):
    return Gallery.open(tmp_path / "out", SETTINGS, ["a/1.png", "../../b/2.png"])


def test_pictures_are_rounded_and_found_again(tmp_path):
    gallery = opened(tmp_path)
    assert gallery.missing() == [0, 1]
    gallery.keep(1, pixels(0.5), pixels(0.503))
    assert opened(tmp_path).missing() == [0]
    file = gallery.file(ADVERSARIAL, 1)
    assert file.parent == tmp_path / "out" / ADVERSARIAL  # whatever the name of the query says
    assert as_picture(pixels(0.503)).getpixel((0, 0)) == (128, 128, 128)


def test_half_a_picture_is_made_again(tmp_path):
    gallery = opened(tmp_path)
    for row in (0, 1):
        gallery.keep(row, pixels(0.2), pixels(0.3))
    file = gallery.file(CLEAN, 0)
    file.write_bytes(file.read_bytes()[:-3])
    assert gallery.missing() == [0]


def test_other_settings_are_named(tmp_path):
    opened(tmp_path)
    with pytest.raises(UsageError, match=r"other settings \(epsilon\)"):
        Gallery.open(tmp_path / "out", SETTINGS | {"epsilon": 0.1}, ["a/1.png", "b/2.png"])


@pytest.mark.parametrize("content", ["{", "[]", '{"attack": NaN}'])
def test_damaged_settings_are_told(tmp_path, content):
    opened(tmp_path)
    (tmp_path / "out" / "attack.json").write_text(content)
    with pytest.raises((DataError, UsageError), match="out"):
        opened(tmp_path)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UsageError, match="is a file; give a folder as --out"):
        opened(tmp_path)


def test_a_full_disk_keeps_what_is_there_and_says_how_to_go_on(tmp_path, monkeypatch):
    gallery = opened(tmp_path)
    gallery.keep(0, pixels(0.2), pixels(0.3))

    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("deephash.attacks.gallery.replace_file", full)
    with pytest.raises(DataError, match=r"no space .* 1 of 2 pictures are kept.* same command"):
        gallery.keep(1, pixels(0.2), pixels(0.3))
    assert gallery.missing() == [1]

"""Where views come from: descriptors of pictures, columns of vectors, a second backbone, UCI mfeat."""

import numpy as np
import pytest
import torch
from lightning import Trainer
from PIL import Image, ImageDraw

from deephash.backbones import Backbone
from deephash.data import Digits, FeatureFile, Mfeat, PictureFolder
from deephash.data.mfeat import VIEWS
from deephash.data.view_features import GENERATORS, Descriptor
from deephash.data.views import training_views
from deephash.errors import DataError, UsageError
from deephash.models import MultiViewEnhancementHash
from deephash.testing.data_sets import DataModuleContract
from deephash.training.fitting import quiet_lightning
from tests.e2e.miniatures import feature_file, picture_folder, write_mfeat
from tests.paths import shared_data


def described(name, picture):
    return Descriptor(name).preprocess()(picture).numpy()


def plain(colour, side=64):
    return Image.new("RGB", (side, side), colour)


@pytest.mark.parametrize("name", GENERATORS)
def test_descriptors_have_their_width_whatever_the_picture(name):
    for picture in (plain("red"), Image.new("L", (7, 200), 90), Image.new("RGBA", (1, 1)), Image.new("P", (40, 30))):
        found = described(name, picture)
        assert found.shape == (GENERATORS[name][0],)
        assert np.isfinite(found).all()


def test_a_colour_histogram_is_the_share_of_each_colour():
    picture = plain((255, 0, 0))
    picture.paste((0, 130, 255), (0, 0, 64, 16))
    found = described("rgb", picture).reshape(4, 4, 4)
    assert found[3, 0, 0] == pytest.approx(0.75)
    assert found[0, 2, 3] == pytest.approx(0.25)
    assert described("hsv", picture).reshape(4, 4, 4)[0, 3, 3] == pytest.approx(0.75)  # red: hue 0, full saturation


def test_gradients_see_which_way_stripes_run_and_colours_do_not():
    upright, lying = plain("white"), plain("white")
    for place in range(0, 64, 8):
        ImageDraw.Draw(upright).rectangle((place, 0, place + 3, 63), fill="black")
        ImageDraw.Draw(lying).rectangle((0, place, 63, place + 3), fill="black")
    assert described("rgb", upright) == pytest.approx(described("rgb", lying))
    by_direction = [described("hog", each).reshape(64, 8).sum(axis=0) for each in (upright, lying)]
    assert by_direction[0].argmax() != by_direction[1].argmax()


def test_patterns_sum_to_one_in_each_cell_and_ignore_brightness():
    draw = np.random.default_rng(0)
    grey = draw.integers(0, 100, (64, 64), dtype=np.uint8)
    dark, bright = Image.fromarray(grey), Image.fromarray(grey + 100)
    found = described("lbp", dark).reshape(16, 10)
    assert found.sum(axis=1) == pytest.approx(np.ones(16))
    moved = np.abs(described("lbp", bright) - found.ravel())  # interpolated values may tie
    assert moved.mean() < 0.01 < np.abs(described("lbp", Image.fromarray(np.sort(grey))) - found.ravel()).mean()
    assert described("lbp", plain("gray")).reshape(16, 10).max(axis=1).min() > 0.85  # but for the picture's rim


def test_views_follow_the_rows_of_the_training_split(tmp_path):
    data = PictureFolder(str(picture_folder(tmp_path / "pictures")))
    data.setup()
    views = training_views(data, {"rgb": 64, "hog": 512})
    rows = data.splits["train"].rows
    assert {name: len(table) for name, table in views.items()} == {"rgb": len(rows), "hog": len(rows)}
    last = data.table.sources["image"](int(rows[-1]))
    assert views["rgb"][-1].numpy() == pytest.approx(described("rgb", last))


def test_a_second_backbone_is_a_view(tmp_path):
    from safetensors.torch import save_file

    network = Backbone("small_cnn:2", None).build().network
    save_file({name: each.contiguous() for name, each in network.state_dict().items()}, tmp_path / "w.safetensors")
    data = PictureFolder(str(picture_folder(tmp_path / "pictures")))
    data.setup()
    name = f"small_cnn:2={tmp_path / 'w.safetensors'}"
    found = training_views(data, {name: 8})[name]
    assert found.shape == (len(data.splits["train"]), 8)
    assert (found.std(dim=0) > 0).any()


def test_columns_of_a_file_are_views_and_absent_items_are_nan(tmp_path):
    path = feature_file(tmp_path / "f.npz", {"image": 4, "sound": 3})
    arrays = dict(np.load(path))
    np.savez(path, **arrays, has_sound=np.arange(60) != 5)
    data = FeatureFile(str(path), hold_out=False)
    data.setup()
    rows = data.splits["train"].rows
    found = training_views(data, {"sound": 3})["sound"]
    there = rows != 5
    assert found[torch.from_numpy(there)].numpy() == pytest.approx(arrays["sound_features"][rows[there]])
    assert found[int(np.flatnonzero(~there)[0])].isnan().all()
    assert data.table.vectors["sound"].isfinite().all()


def test_views_that_are_not_there_are_named(tmp_path):
    data = FeatureFile(str(feature_file(tmp_path / "f.npz", {"image": 4, "sound": 3})))
    data.setup()
    with pytest.raises(UsageError, match=r"has no view 'sond'.*did you mean 'sound'"):
        training_views(data, {"sond": 3})
    with pytest.raises(UsageError, match="has no view 'hog'"):
        training_views(data, {"hog": 512})  # vectors have no pictures
    with pytest.raises(UsageError, match=r"has 3 numbers, but the model expects 7; write sound: 3"):
        training_views(data, {"sound": 7})


def test_without_scikit_image_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "skimage", None)
    with pytest.raises(UsageError, match=r"pip install 'deephash\[views\]'"):
        Descriptor("hog")


# Under a Trainer


def fitted(model, data, epochs, **options):
    torch.manual_seed(0)
    with quiet_lightning():
        trainer = Trainer(
            max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, **options,
        )  # fmt: skip
        trainer.fit(model, datamodule=data)
    return trainer


def test_a_trainer_weighs_views_after_the_warm_up_until_they_settle(tmp_path):
    data = FeatureFile(str(feature_file(tmp_path / "f.npz", {"image": 6, "one": 5, "two": 4})), batch_size=16)
    model = MultiViewEnhancementHash(
        8, Backbone("features:6", None), {"one": 5, "two": 4}, hidden=8, memory_hidden=8, warm_up=2, settle=0.5
    )
    at, refresh = [], model.refresh
    model.refresh = lambda: (at.append(model.current_epoch), refresh())
    fitted(model, data, 8)
    assert at == [2, 3]
    assert model.view_relation[0, 1] != 0


def test_weights_come_back_with_a_checkpoint(tmp_path):
    path = feature_file(tmp_path / "f.npz", {"image": 6, "one": 5, "two": 4})
    make = lambda: MultiViewEnhancementHash(  # noqa: E731
        8, Backbone("features:6", None), {"one": 5, "two": 4}, hidden=8, memory_hidden=8, warm_up=0, settle=1.0
    )
    model = make()
    fitted(model, FeatureFile(str(path), batch_size=16), 3).save_checkpoint(tmp_path / "at.ckpt")
    state = torch.load(tmp_path / "at.ckpt", weights_only=True)["state_dict"]
    again = make()
    again.load_state_dict(state)
    again.prepare(training_views(_set_up(path), again.views), torch.from_numpy(_set_up(path).splits["train"].labels))
    assert again.view_weights.tolist() == model.view_weights.tolist() != [0.5, 0.5]


def _set_up(path):
    data = FeatureFile(str(path), batch_size=16)
    data.setup()
    return data


def test_digits_have_the_grey_values_as_a_view():
    data = Digits()
    data.setup()
    found = training_views(data, {"image": 64})["image"]
    assert torch.equal(found, data.table.vectors["image"][torch.from_numpy(data.splits["train"].rows)])


# UCI mfeat


class TestMfeat(DataModuleContract):
    backbone = Backbone("features:240", None)

    @pytest.fixture(autouse=True)
    def written(self, tmp_path):
        self.file = str(write_mfeat(tmp_path))

    def make_data(self, **options):
        return Mfeat(self.file, **{"batch_size": 16} | options)


def test_mfeat_without_a_view_or_with_nan_is_refused(tmp_path):
    path = write_mfeat(tmp_path)
    arrays = dict(np.load(path))
    np.savez(path, **{name: array for name, array in arrays.items() if name != "kl_test"})
    with pytest.raises(DataError, match="lacks kl_test"):
        Mfeat(str(path)).setup()
    arrays["kl_test"][0, 0] = np.nan
    np.savez(path, **arrays)
    with pytest.raises(DataError, match="kl holds NaN"):
        Mfeat(str(path)).setup()


def test_the_real_mfeat_has_three_views_of_2000_numerals():
    data = Mfeat(str(shared_data("wiki", "uci_mfeat.npz")))
    data.setup()
    assert (len(data.splits["query"]), len(data.splits["database"])) == (500, 1500)
    assert {name: data.table.vectors[name].shape[1] for name in VIEWS} == VIEWS
    assert torch.equal(data.table.vectors["image"], data.table.vectors["pixel"])

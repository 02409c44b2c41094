"""Data that is drawn: the contract of every data set, and what is special about a truth that is known."""

import numpy as np
import pytest

from deephash.backbones import Backbone
from deephash.cli.main import main
from deephash.data import SyntheticScenes, SyntheticViews
from deephash.data.synthetic import COLOURS
from deephash.errors import UsageError
from deephash.testing.data_sets import DataModuleContract


class TestScenes(DataModuleContract):
    def make_data(self, **options):
        return SyntheticScenes(num_items=60, num_classes=5, **options)

    def test_captions_name_what_the_labels_say(self, data):
        for row, flags in enumerate(data.table.labels):
            named = {part.partition(" ")[2] for part in data.caption(row).split(" and ")}
            assert named == {data.class_names[number] for number in np.flatnonzero(flags)}
        assert data.table.labels.sum(axis=0).min() >= 2
        assert set(data.table.labels.sum(axis=1).tolist()) == {1, 2, 3}

    def test_pictures_show_their_colours_and_are_the_same_again(self, data):
        again = self.make_data()
        again.setup()
        for row in range(0, 60, 7):
            picture = np.asarray(data.picture(row)).reshape(-1, 3).tolist()
            assert picture == np.asarray(again.picture(row)).reshape(-1, 3).tolist()
            shown = data.class_names[data._shown[row][-1]].split()[0]  # the last one lies on top
            assert list(COLOURS[shown]) in picture

    def test_one_label_each_are_class_numbers(self):
        data = SyntheticScenes(num_items=40, num_classes=4, most_labels=1)
        assert data.table.labels.ndim == 1
        assert np.bincount(data.table.labels).min() >= 2

    def test_instances_have_no_labels_and_ask_for_themselves(self):
        data = SyntheticScenes(num_items=50, split="instances")
        data.setup()
        assert data.table.labels is None
        assert np.array_equal(data.splits["query"].rows, data.splits["database"].rows)
        assert len(data.splits["query"]) == 10

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"num_classes": 25}, "between 2 and 24"),
            ({"most_labels": 9}, "between 1 and 8"),
            ({"num_items": 10}, "at least 16 items"),
            ({"split": "half"}, "fifth or instances"),
        ],
    )
    def test_what_cannot_be_drawn(self, options, says):
        with pytest.raises(UsageError, match=says):
            SyntheticScenes(**options)


class TestViews(DataModuleContract):
    backbone = Backbone("features:256", weights=None)

    def make_data(self, **options):
        return SyntheticViews(num_items=80, num_classes=4, **options)

    def test_another_seed_is_other_data(self):
        first, second = SyntheticViews(seed=0), SyntheticViews(seed=1)
        assert first.table.vectors["text"].shape == (2400, 160)
        assert not (first.table.vectors["text"] == second.table.vectors["text"]).any()
        with pytest.raises(UsageError, match="twice as many"):
            SyntheticViews(num_items=3)


SCENES = (
    "any/folder_64 --data SyntheticScenes --data.num_items=120 --bits 16 --epochs 2 --backbone small_cnn:8 "
    "--model.init_args.backbone.weights=null --model.init_args.backbone.frozen=false"
)
VIEWS = (
    "any/pairs_64 --method ccahash --data SyntheticViews --data.num_items=300 --bits 8 --epochs 1 "
    "--model.init_args.image_backbone.name=features:256 --model.init_args.image_backbone.weights=null "
    "--model.init_args.text_backbone.name=features:160"
)


@pytest.mark.parametrize(
    ("words", "says"), [(SCENES, "synthetic-scenes-120x8-fifth/v1 | mAP@all | rel=any-shared-label"), (VIEWS, "i2t")]
)
def test_trained_on_in_one_command(tmp_path, capsys, words, says):
    assert main(["train", "--config", *words.split(), "--out", str(tmp_path / "run")]) == 0
    assert says in capsys.readouterr().out

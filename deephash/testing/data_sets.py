"""What every data set promises. A data set's test inherits :class:`DataModuleContract` and says how to make one."""

import numpy as np
import pytest
import torch
from lightning import Trainer

from deephash.backbones import Backbone
from deephash.data import HashDataModule
from deephash.models import LSH, OrthoHash
from deephash.training.fitting import quiet_lightning


class DataModuleContract:
    """Give ``make_data`` (a labelled miniature); inherit the rest. ``backbone`` reads what the data set holds."""

    backbone = Backbone("small_cnn:2", weights=None, frozen=True, image_size=8)

    def make_data(self, **options) -> HashDataModule:
        raise NotImplementedError

    @pytest.fixture
    def data(self) -> HashDataModule:
        data = self.make_data()
        data.setup()
        return data

    def make_model(self, data, **changes):
        torch.manual_seed(0)
        return OrthoHash(16, data.num_classes, Backbone(**{**vars(self.backbone), **changes}))

    def test_splits_are_named_and_apart(self, data):
        assert list(data.splits) == ["train", "validation_query", "validation_database", "query", "database"]
        rows = {name: set(split.rows.tolist()) for name, split in data.splits.items()}
        assert all(rows.values())
        assert not rows["query"] & (rows["train"] | rows["database"] | rows["validation_query"])
        assert not rows["validation_query"] & rows["train"]
        assert rows["validation_database"] == rows["train"]

    def test_without_holding_out_all_training_items_are_learned_from(self, data):
        whole = self.make_data(hold_out=False)
        whole.setup()
        assert list(whole.splits) == ["train", "query", "database"]
        held = set(data.splits["train"].rows) | set(data.splits["validation_query"].rows)
        assert set(whole.splits["train"].rows) == held
        assert whole.split_checksum == data.split_checksum

    def test_labels_and_names_fit(self, data):
        for split in data.splits.values():
            assert len(split.labels) == len(split.names) == len(split)
            numbers = split.labels if split.labels.ndim == 1 else split.labels.argmax(axis=1)
            assert numbers.max() < data.num_classes
        assert len(set(data.table.names)) == len(data.table)

    def test_the_checksum_is_the_same_again_and_no_other(self, data):
        again = self.make_data()
        again.setup()
        assert again.split_checksum == data.split_checksum
        assert data.split_checksum.startswith("sha256:")
        assert "/v" in data.protocol_name

    def test_setup_twice_changes_nothing(self, data):
        before = {name: split.rows.copy() for name, split in data.splits.items()}
        data.setup()
        assert all(np.array_equal(before[name], split.rows) for name, split in data.splits.items())

    def test_training_batches(self, data):
        data.attach(self.make_model(data))
        seen = [batch["index"] for batch in data.train_dataloader()]
        rows = torch.cat(seen)
        assert len(rows) == len(set(rows.tolist())) <= len(data.splits["train"])
        batch = next(iter(data.train_dataloader()))
        assert batch["image_features"].shape == (len(batch["index"]), data._model.encoders["image"].num_features)
        assert batch["labels"].dtype in (torch.int64, torch.float32)
        expected = torch.as_tensor(data.splits["train"].labels)[batch["index"]]
        assert torch.equal(batch["labels"].to(expected.dtype), expected)

    def test_cached_features_are_the_live_ones(self, data):
        frozen = self.make_model(data)
        cached = data.codes(frozen, "query")
        if not data.table.sources:
            return
        live = self.make_model(data, frozen=False)
        live.load_state_dict(frozen.state_dict())
        other = self.make_data()
        assert other.codes(live, "query") == cached

    def test_a_trainer_needs_nothing_else(self, data):
        model = LSH(16, self.backbone)
        options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        with quiet_lightning():
            Trainer(max_epochs=1, enable_model_summary=False, accelerator="cpu", **options).fit(model, datamodule=data)
        assert len(data.codes(model, "database")) == len(data.splits["database"])

    def test_limited_items(self, data):
        data.limit_items(3)
        assert {len(split) for split in data.splits.values()} == {3}

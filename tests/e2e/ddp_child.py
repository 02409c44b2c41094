"""Run in each of two gloo processes by test_training_real.py: gathered losses and divided batches."""

import sys

import torch
from lightning import Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import distributed as dist

from deephash.backbones import Backbone
from deephash.data import Digits
from deephash.data.batch import SlicedBatches
from deephash.models import DLCH, DPSH, DTSH, BiHalf, CIBHash, GreedyHashUnsupervised, HashNet, Optimizer, OrthoHash
from deephash.training.callbacks import ModelSaver, RetrievalEvaluation
from tests.image_methods_toy import FEATURES, batch


class AtPictures(DLCH):
    current_epoch = 1  # when the picture network learns


METHODS = {
    "HashNet": lambda: HashNet(16, FEATURES, preset="orthohash"),
    "DPSH": lambda: DPSH(16, FEATURES),
    "DTSH": lambda: DTSH(16, FEATURES),
    "GreedyHashUnsupervised": lambda: GreedyHashUnsupervised(16, FEATURES),
    "BiHalf": lambda: BiHalf(16, FEATURES),
    "DLCH": lambda: AtPictures(16, 4, FEATURES, label_hidden=8),
    "CIBHash": lambda: CIBHash(16, FEATURES, hidden=8, feature_dropout=0.0),
}


def gradients(name, rows):
    """Loss and gradient of one method on rows, as DDP would average it."""
    torch.manual_seed(0)
    model = METHODS[name]()
    loss = sum(model.compute_losses(rows).values())
    loss.backward()
    flat = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    if dist.is_initialized():
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
    return loss.detach(), flat


def main(rank, store, out):
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    rows = batch(16)
    own = {key: value[8 * rank : 8 * rank + 8] for key, value in rows.items()}
    results = {name: gradients(name, own) for name in METHODS}
    torch.manual_seed(rank)  # processes whose generators differ still draw one order
    slices = SlicedBatches({"index": torch.arange(21)}, 4, shuffle=True, drop_last=True, divide=True)
    results["rows"] = [part["index"] for part in slices]
    dist.destroy_process_group()
    results["score"], results["weights"] = train(out)
    torch.save(results, f"{out}.{rank}")


def train(out):
    """Train under a Trainer with two processes, score on the validation split, save on the first process."""
    torch.manual_seed(0)
    model = OrthoHash(16, 10, Backbone("features:64", weights=None), optimizer=Optimizer(learning_rate=1e-2))
    callbacks = [RetrievalEvaluation(every_n_epochs=1), ModelSaver(f"{out}_run", every_n_epochs=1)]
    strategy = DDPStrategy(process_group_backend="gloo")
    trainer = Trainer(max_epochs=3, accelerator="cpu", devices=2, strategy=strategy, callbacks=callbacks, logger=False,
                      enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)  # fmt: skip
    trainer.fit(model, datamodule=Digits())
    return trainer.callback_metrics["validation/mAP"], model.head[0].weight.detach()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])

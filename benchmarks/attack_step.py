"""What one step of an attack costs beside the model's bare forward and backward pass, and whether memory grows.

python benchmarks/attack_step.py                        # MobileNetV2 at 224 px, batches of 16
python benchmarks/attack_step.py --backbone cifar_resnet:32 --side 32 --batch 32

Rounds alternate between bare passes and attacks in one process; the medians are compared. Memory is the peak of a
process of its own with few steps and with many.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from statistics import median
from typing import Any

import torch

ATTACKS = ("pgd", "apgd", "hag", "sdha", "mainstay", "dhta")


def make_model(backbone: str, side: int, bits: int = 64) -> Any:
    """Return an untrained OrthoHash; its speed is that of a trained one."""
    from deephash.backbones import Backbone
    from deephash.models import OrthoHash

    torch.manual_seed(0)
    return OrthoHash(bits, 10, Backbone(backbone, weights=None, frozen=False, image_size=side)).eval()


def make_aim(batch: int, bits: int) -> Any:
    """Return labels, targets and 1,000 known codes."""
    from deephash.attacks import Aim, Known

    labels = torch.arange(1000) % 10
    known = Known(torch.randn(1000, bits).sign(), labels)
    own = torch.arange(batch) % 10
    return own, known, Aim(labels=own, known=known)


def bare(model: Any, images: torch.Tensor, steps: int) -> float:
    """Return seconds a step of forward and backward to the pixels."""
    encoder = model.encoders["image"]
    started = time.perf_counter()
    for _ in range(steps):
        leaf = images.clone().requires_grad_()
        codes = model({"image": encoder.normalise(leaf)})
        torch.autograd.grad(codes.sum(), leaf)
    return (time.perf_counter() - started) / steps


def attacked(name: str, model: Any, images: torch.Tensor, steps: int) -> float:
    """Return seconds a step of an attack, its judging and projecting included; set-up and last look spread over all."""
    from dataclasses import replace

    from deephash.attacks.catalogue import entry_named, make_attack

    own, _, aim = make_aim(len(images), model.num_bits)
    if entry_named(name).aims == "label":
        aim = replace(aim, targets=(own + 1) % 10)
    attack = make_attack(name, steps=steps)
    started = time.perf_counter()
    attack.perturb(model, images, aim)
    return (time.perf_counter() - started) / steps


def peak(backbone: str, side: int, batch: int, steps: int) -> float:
    """Return the peak memory in MB of a process that attacks with so many steps."""
    words = ["--backbone", backbone, "--side", str(side), "--batch", str(batch), "--steps", str(steps), "--memory"]
    done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="timm:mobilenetv2_100")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = make_model(options.backbone, options.side)
    images = torch.randint(0, 256, (options.batch, 3, options.side, options.side)).float() / 255
    if options.memory:
        attacked("pgd", model, images, options.steps)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    bare(model, images, 3)
    times: dict[str, list[float]] = {"bare": []} | {name: [] for name in ATTACKS}
    for _ in range(options.rounds):
        times["bare"].append(bare(model, images, options.steps))
        for name in ATTACKS:
            times[name].append(attacked(name, model, images, options.steps))
    one = median(times["bare"])
    few, many = (peak(options.backbone, options.side, options.batch, steps) for steps in (5, 50))
    found = {
        "machine": platform.processor() or platform.machine(),
        "bare_ms_a_step": round(1000 * one, 2),
        "ratio": {name: round(median(times[name]) / one, 3) for name in ATTACKS},
        "peak_mb": {"5 steps": round(few), "50 steps": round(many)},
    }
    print(json.dumps(found | vars(options), default=str))


if __name__ == "__main__":
    main()

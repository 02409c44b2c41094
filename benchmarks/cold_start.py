"""Claim: a picture query from a cold start costs little more than importing onnxruntime and one forward pass.

    python benchmarks/cold_start.py --pictures FOLDER --weights mobilenetv2_100_imagenet.safetensors [--rounds 5]

CPU seconds (user and system) of whole processes, which other work on the cores hardly changes; medians of alternating
rounds: ``deephash search`` by a picture through the portable encoder, through torch, and by an item; and a bare script
that imports NumPy, Pillow and onnxruntime and runs the same graph once. With ``--clip`` also words, on a CLIP of that
architecture with random weights, beside a bare script that runs its text tower once. Byte code is there, as
scripts/setup leaves it.
"""

import argparse
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

BARE = """
import sys
import numpy as np, onnxruntime
from PIL import Image
picture = Image.open(sys.argv[2]).convert("RGB").resize((224, 224))
rows = np.asarray(picture, np.float32).transpose(2, 0, 1)[None] / 255
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"]).run(None, {"rows": rows})
"""

WORDS = """
import sys
import numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
session.run(None, {"rows": np.ones((1, 77), np.int64)})
"""
CLIP = """
import sys
from deephash.fitting import fit_training_free
from deephash.ingest import index_folder
model = fit_training_free(sys.argv[1], sys.argv[2], num_bits=8, weights="none", max_pictures=16)
index_folder(sys.argv[2], sys.argv[3], model)
"""


def cpu_seconds(*words: object) -> float:
    """Run a process and return the CPU seconds that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([str(word) for word in words], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clip", help="an architecture, such as ViT-B-32")
    options = parser.parse_args()
    program = Path(sys.executable).with_name("deephash")
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "x.dh"
        model = ("--model", "itq:timm:mobilenetv2_100", "--weights", options.weights)
        subprocess.run([program, "index", options.pictures, "--out", made, *model, "--quiet"], check=True)
        (graph,) = made.glob("models/*/encoder.onnx")
        picture = next(path for path in sorted(options.pictures.rglob("*")) if path.suffix.lower() in (".jpg", ".png"))
        cells = {
            "bare script": (sys.executable, "-c", BARE, graph, picture),
            "search PICTURE": (program, "search", made, picture),
            "search PICTURE --engine torch": (program, "search", made, picture, "--engine", "torch"),
            "search id:1": (program, "search", made, "id:1"),
        }
        if options.clip:
            clip = Path(scratch) / "clip.dh"
            few = Path(scratch) / "few"
            few.mkdir()
            for number, path in enumerate(sorted(options.pictures.rglob("*.jpg"))[:16]):
                shutil.copy(path, few / f"{number}.jpg")
            subprocess.run([sys.executable, "-c", CLIP, f"clip:{options.clip}/random", few, clip], check=True)
            (text,) = clip.glob("models/*/encoder_text.onnx")
            cells |= {
                "bare script, words": (sys.executable, "-c", WORDS, text),
                "search WORDS": (program, "search", clip, "two dogs on a beach"),
                "search WORDS --engine torch": (program, "search", clip, "two dogs on a beach", "--engine", "torch"),
            }
        found: dict[str, list[float]] = {name: [] for name in cells}
        for _ in range(options.rounds):
            for name, words in cells.items():
                found[name].append(cpu_seconds(*words))
    middle = {name: statistics.median(values) for name, values in found.items()}
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; medians of {options.rounds} CPU seconds"
    )
    for name, value in middle.items():
        bare = middle["bare script, words" if "WORDS" in name or "words" in name else "bare script"]
        print(f"{name:32} {value:6.2f}   {value / bare:5.1f}x the bare script")
    ratio = middle["search PICTURE --engine torch"] / middle["search PICTURE"]
    print(f"torch / onnx: {ratio:.1f}")


if __name__ == "__main__":
    main()

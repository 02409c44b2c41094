"""Collections for the web tests: photographs of Caltech-101, the digits of scikit-learn, colours with words."""

from __future__ import annotations

import hashlib
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from tests.coloured_squares import COLOURS, coloured, colours_model
from tests.paths import shared_data

CLASSES = ("accordion", "bonsai", "butterfly", "chair", "helicopter", "lotus", "revolver", "sunflower")
OUTDOORS = ("bonsai", "butterfly", "helicopter", "lotus", "sunflower")
BITS = 64


def caltech_folder(folder: Path, per_class: int = 20) -> Path:
    """Copy a few classes of Caltech-101 to ``folder``, as somebody's own pictures."""
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for picture in sorted((shared_data("caltech101") / "train" / name).iterdir())[:per_class]:
            shutil.copy(picture, folder / name / picture.name)
    return folder


def caltech_model(folder: Path, *, num_bits: int = BITS, seed: int = 0):
    """Fit ITQ over MobileNet features of the pictures in ``folder``."""
    from deephash.backbones import Backbone
    from deephash.models import ITQ
    from deephash.pictures import open_picture, scan_folder

    weights = shared_data("weights", "mobilenetv1_025_128_imagenet.safetensors")
    model = ITQ(num_bits, Backbone("mobilenet_v1:0.25", weights=str(weights)), seed=seed)
    pictures = [open_picture(path) for path in scan_folder(folder)]
    return model.fit(features_of(model, pictures), max_sweeps=20)


def features_of(model, pictures):
    import torch

    transform = model.preprocess("image")
    with torch.inference_mode():
        batches = [torch.stack([transform(p) for p in pictures[s : s + 64]]) for s in range(0, len(pictures), 64)]
        return torch.cat([model.features({"image": batch}) for batch in batches]).clone()


def caltech_collection(path: Path, folder: Path, model) -> Collection:
    """Index ``folder`` into ``path``, with vectors, labels, two folders, dates two days apart, widths and sizes."""
    from deephash.pictures import open_picture, scan_folder

    files = list(scan_folder(folder))
    pictures = [open_picture(file) for file in files]
    vectors = features_of(model, pictures).numpy()
    attributes = [
        {
            "label": file.parent.name,
            "folder": "outdoors" if file.parent.name in OUTDOORS else "indoors",
            "taken": datetime(2021, 1, 1, 18) + timedelta(days=2 * number),
            "width": picture.width,
            "size": file.stat().st_size,
        }
        for number, (file, picture) in enumerate(zip(files, pictures))
    ]
    dim = vectors.shape[1]
    collection = Collection.create(path, num_bits=model.num_bits, model=model, root=folder, vector_dim=dim)
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    uris = [file.relative_to(folder).as_posix() for file in files]
    codes = model.encode_images(files)
    collection.append(uris=uris, content_hashes=hashes, codes=codes, attributes=attributes, vectors=vectors)
    return collection


def digits_collection(path: Path, folder: Path, count: int = 1000) -> Collection:
    """Train a small network on scikit-learn's digits, write them as PNG files and index them."""
    model, images, labels = _digits_model(count)
    folder.mkdir(parents=True, exist_ok=True)
    uris = []
    for number, (image, label) in enumerate(zip(images, labels)):
        uris.append(f"{label}/{number:04d}.png")
        (folder / str(label)).mkdir(exist_ok=True)
        image.save(folder / uris[-1])
    codes = model.encode_images(images)
    collection = Collection.create(path, num_bits=model.num_bits, model=model, root=folder)
    attributes = [{"label": str(label)} for label in labels]
    collection.append(uris=uris, content_hashes=uris, codes=codes, attributes=attributes)
    return collection


def _digits_model(count: int):
    import torch
    from sklearn.datasets import load_digits

    from deephash.backbones import Backbone
    from deephash.models import OrthoHash

    torch.manual_seed(0)
    digits = load_digits()
    images = [Image.fromarray(np.uint8(np.clip(sheet * 15.9375, 0, 255))) for sheet in digits.images[:count]]
    labels = digits.target[:count]
    model = OrthoHash(32, 10, Backbone("small_cnn:8", weights=None, frozen=False))
    transform = model.preprocess("image")
    inputs = torch.stack([transform(image.convert("RGB")) for image in images])
    targets = torch.as_tensor(labels)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    model.train()
    for _ in range(16):
        for rows in torch.randperm(len(inputs)).split(64):  # moved a little: drawn digits are found on any processor
            moved = inputs[rows].roll(torch.randint(-3, 4, (2,)).tolist(), dims=(2, 3))
            batch = {"image": moved, "labels": targets[rows], "index": rows}
            loss = torch.stack(list(model.compute_losses(batch).values())).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval(), images, labels


def colours_collection(path: Path, folder: Path, count: int = 40) -> Collection:
    """Index squares other than those the model has learnt from."""
    model = colours_model()
    folder.mkdir(parents=True, exist_ok=True)
    uris = [f"{list(COLOURS)[row % 4]}_{row}.png" for row in range(count)]
    for row, uri in enumerate(uris):
        coloured(uri.split("_")[0], 1000 + row).save(folder / uri)
    collection = Collection.create(path, num_bits=24, model=model, root=folder)
    collection.append(uris=uris, content_hashes=uris, codes=model.encode_images([folder / uri for uri in uris]))
    return collection


def random_collection(path: Path, count: int, num_bits: int = 64, seed: int = 0) -> Collection:
    """Make a collection of random codes without pictures or model."""
    bits = np.random.default_rng(seed).integers(0, 2, (count, num_bits))
    collection = Collection.create(path, num_bits=num_bits)
    collection.append(uris=[f"{row}.jpg" for row in range(count)], codes=BinaryCodes.from_bits(bits))
    return collection

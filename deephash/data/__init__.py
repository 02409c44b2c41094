"""Floor 3: data sets, one file each; loaded when first used, so that split rules and checks work without torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deephash.data.cifar10 import Cifar10 as Cifar10
    from deephash.data.datamodule import HashDataModule as HashDataModule
    from deephash.data.digits import Digits as Digits
    from deephash.data.fashion import FashionItems as FashionItems
    from deephash.data.feature_file import FeatureFile as FeatureFile
    from deephash.data.flickr8k import Flickr8k as Flickr8k
    from deephash.data.folder import PictureFolder as PictureFolder
    from deephash.data.manifest import Manifest as Manifest
    from deephash.data.semi_paired import PairingMask as PairingMask
    from deephash.data.semi_paired import SemiPaired as SemiPaired
    from deephash.data.wiki import Wiki as Wiki

_HOME = {
    "Cifar10": "cifar10",
    "Digits": "digits",
    "FashionItems": "fashion",
    "FeatureFile": "feature_file",
    "Flickr8k": "flickr8k",
    "HashDataModule": "datamodule",
    "Manifest": "manifest",
    "PairingMask": "semi_paired",
    "PictureFolder": "folder",
    "SemiPaired": "semi_paired",
    "Wiki": "wiki",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'deephash.data' has no attribute {name!r}")
    return getattr(import_module(f"deephash.data.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

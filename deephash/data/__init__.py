"""Floor 3: data sets, one file each; loaded when first used, so that split rules and checks work without torch."""

from typing import TYPE_CHECKING

from deephash.lazily import lazily

if TYPE_CHECKING:
    from deephash.data.cifar10 import Cifar10 as Cifar10
    from deephash.data.datamodule import HashDataModule as HashDataModule
    from deephash.data.digits import Digits as Digits
    from deephash.data.fashion import FashionItems as FashionItems
    from deephash.data.feature_file import FeatureFile as FeatureFile
    from deephash.data.flickr8k import Flickr8k as Flickr8k
    from deephash.data.folder import PictureFolder as PictureFolder
    from deephash.data.manifest import Manifest as Manifest
    from deephash.data.mfeat import Mfeat as Mfeat
    from deephash.data.semi_paired import PairingMask as PairingMask
    from deephash.data.semi_paired import SemiPaired as SemiPaired
    from deephash.data.stream_task import StreamTask as StreamTask
    from deephash.data.synthetic import SyntheticScenes as SyntheticScenes
    from deephash.data.synthetic import SyntheticViews as SyntheticViews
    from deephash.data.vectors import Vectors as Vectors
    from deephash.data.wiki import Wiki as Wiki

_HOME = {
    "Cifar10": "cifar10",
    "Digits": "digits",
    "FashionItems": "fashion",
    "FeatureFile": "feature_file",
    "Flickr8k": "flickr8k",
    "HashDataModule": "datamodule",
    "Manifest": "manifest",
    "Mfeat": "mfeat",
    "PairingMask": "semi_paired",
    "PictureFolder": "folder",
    "SemiPaired": "semi_paired",
    "StreamTask": "stream_task",
    "SyntheticScenes": "synthetic",
    "SyntheticViews": "synthetic",
    "Vectors": "vectors",
    "Wiki": "wiki",
}

__all__ = list(_HOME)
__getattr__, __dir__ = lazily(__name__, _HOME)

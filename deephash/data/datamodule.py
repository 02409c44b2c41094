"""HashDataModule: a data set, its splits, its cached features and its batches; the base of every data set here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from lightning import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from deephash.backbones import Encoder
from deephash.backbones.text import WordVectors
from deephash.codes import BinaryCodes
from deephash.collection.folder import hash_of_file
from deephash.collection.seen import SeenItems
from deephash.data.augment import Augmentation, augmentation, unchanged
from deephash.data.batch import Batch, SlicedBatches
from deephash.data.feature_cache import FeatureCache, encoder_keys
from deephash.data.learner import Learner
from deephash.data.live_rows import LiveRows, PreparedRows
from deephash.data.protocols import Splits, split_checksum
from deephash.data.table import SPLIT_NAMES, ItemTable, Split
from deephash.errors import DataError, UnreadablePicture, UsageError
from deephash.progress import track

Augment = Literal["none", "flip", "jitter", "crop"]


class HashDataModule(LightningDataModule, ABC):
    """Base of data sets. A subclass says what the items are and who is query, train and database.

    After :meth:`setup` there are ``splits`` named train, query and database, and with ``hold_out`` validation_query (a
    tenth of the training items, never queries) and validation_database (the rest of them, what the model is fitted on).
    :meth:`attach` caches the features of frozen backbones; a Trainer calls it by itself.

    Args:
        batch_size: B in training.
        hold_out: keep a validation split out of the training items, on which the best epoch is chosen. False trains on
            all of them, and the last epoch counts.
        augment: what happens to training pictures of a backbone that learns: ``none``, ``flip``, ``jitter`` (flip,
            brightness, contrast) or ``crop`` (random resized crop, flip). Cached features are of pictures as they are.
        cache_dir: where features of frozen backbones are kept; None keeps them in memory only.
        num_workers: processes that decode pictures while a backbone learns.
        encode_batch_size: B when features are cached or codes are made.
    """

    by_name: ClassVar[bool] = False  # the split's checksum is taken of names instead of row numbers

    def __init__(
        self,
        batch_size: int = 256,
        hold_out: bool = True,
        augment: Augment = "none",
        cache_dir: str | None = None,
        num_workers: int = 0,
        encode_batch_size: int = 32,
    ) -> None:
        super().__init__()
        if batch_size < 2:
            raise UsageError(f"batch_size must be at least 2 (batch norm and pairs need it), not {batch_size}")
        self.batch_size, self.hold_out, self.augment = batch_size, hold_out, augment
        self.cache_dir = Path(cache_dir).expanduser() if cache_dir is not None else None
        self.num_workers, self.encode_batch_size = num_workers, encode_batch_size
        self.splits: dict[str, Split] = {}
        self.skipped: dict[str, str] = {}  # name of a picture that cannot be read -> reason
        self._table: ItemTable | None = None
        self._protocol_rows: Splits = {}
        self._encoder_keys: dict[str, str] = {}
        self._checked: set[str] = set()
        self._model: Learner | None = None
        self._memories: dict[str, PreparedRows] = {}
        self._live: frozenset[str] = frozenset()  # modalities whose training batches are not cut from cached features

    # What a data set says --------------------------------------------------------------------------

    @property
    @abstractmethod
    def protocol_name(self) -> str:
        """Name and version of the split, e.g. ``cifar10-i/v1``; it stands in every protocol string."""

    @property
    def pictures(self) -> str:
        """Remark for protocol strings where the pictures are not the original ones, e.g. ``jpeg-q75``."""
        return "original"

    @abstractmethod
    def read(self) -> ItemTable:
        """Return the items. Raises DatasetNotFound or DataError."""

    @abstractmethod
    def divide(self, table: ItemTable) -> Splits:
        """Return row numbers of query, train and database, and of validation_query and validation_database."""

    # What everybody asks ---------------------------------------------------------------------------

    @property
    def table(self) -> ItemTable:
        """All items, read when first asked for."""
        if self._table is None:
            self._table = self.read()
        return self._table

    @property
    def num_classes(self) -> int:
        """C, or 0 without labels."""
        return self.table.num_classes

    @property
    def class_names(self) -> list[str]:
        """Words of the classes; empty where unknown."""
        return self.table.class_names

    def attribute(self, name: str) -> list[str]:
        """Return what a further column of the data says of each item; "" where it says nothing.

        Raises:
            UsageError: the data has no such column.
        """
        raise UsageError(f"{type(self).__name__} has no column {name!r}: it knows names and labels of its items only")

    @property
    def notes(self) -> list[str]:
        """Sentences the reader should see: unlabelled items, skipped pictures, empty classes."""
        notes = list(self.table.notes)
        if self.skipped:
            name, reason = next(iter(self.skipped.items()))
            notes.append(f"{len(self.skipped)} pictures cannot be read and were skipped; the first: {name}: {reason}")
        return notes

    def setup(self, stage: str | None = None) -> None:
        """Make the splits, and cache features where a Trainer has a model for them. Safe to call again."""
        if not self.splits:
            self._make_splits(self.divide(self.table))
        if self.trainer is not None:
            callbacks = self.trainer.callbacks  # type: ignore[attr-defined]
            live = any(getattr(each, "needs_pixels", False) for each in callbacks)  # a BatchHook, defined floors above
            self.attach(cast(Learner, self.trainer.lightning_module), live=live)

    def _make_splits(self, rows: Splits) -> None:
        for name in ("train", "query", "database"):
            if not len(rows[name]):
                raise UsageError(f"{type(self).__name__}: the split {name!r} of {self.protocol_name} is empty")
        self._protocol_rows = {name: rows[name] for name in ("train", "query", "database")}
        if self.hold_out and len(rows.get("validation_query", ())):
            rows = rows | {"train": rows["validation_database"]}
        else:
            rows = self._protocol_rows
        self.splits = {name: Split.of(self.table, rows[name]) for name in SPLIT_NAMES if name in rows}

    @property
    def split_checksum(self) -> str:
        """Checksum of who is query, train (held-out items included) and database."""
        lists: dict[str, Any] = dict(self._protocol_rows)
        if self.by_name:
            lists = {name: [self.table.names[row] for row in rows] for name, rows in lists.items()}
        return split_checksum(lists)

    def limit_items(self, most: int) -> None:
        """Keep ``most`` items of each split, evenly spread; for trials such as ``--fast-dev-run``."""
        self.setup()
        self._model = None
        for name, split in self.splits.items():
            chosen = np.unique(np.linspace(0, len(split) - 1, min(most, len(split))).astype(np.int64))
            self.splits[name] = Split.of(self.table, split.rows[chosen])

    def _leave_out(self, rejected: dict[int, str]) -> None:
        """Take unreadable pictures out of all splits; they are counted and listed, never silently lost."""
        if not rejected:
            return
        self.skipped |= {self.table.names[row]: reason for row, reason in rejected.items()}
        bad = set(rejected)
        self.splits = {name: split.without(bad) for name, split in self.splits.items()}
        keep = {name: ~np.isin(rows, list(bad)) for name, rows in self._protocol_rows.items()}
        self._protocol_rows = {name: rows[keep[name]] for name, rows in self._protocol_rows.items()}
        for name, split in self.splits.items():
            if not len(split):
                raise DataError(f"no picture of the split {name!r} can be read; the last reason: {reason_of(rejected)}")

    def seen_items(self) -> SeenItems:
        """Return what training looks at, validation items included: hashes of files, or of names where there are none.

        A file that cannot be read is left out, as it is in training.
        """
        parts = [split.rows for name, split in self.splits.items() if name.startswith(("train", "validation"))]
        rows = np.unique(np.concatenate(parts)).tolist()
        files = [self.table.files[row] for row in rows] if self.table.files else []
        named = [self.table.names[row] for row, file in zip(rows, files or [None] * len(rows)) if file is None]
        paths = [file for file in files if file is not None]
        if not paths:
            return SeenItems.of(names=named)
        with ThreadPoolExecutor() as pool:
            found = track(pool.map(hash_of_file, paths), f"noting {len(paths):,} training pictures", total=len(paths))
            return SeenItems.of(contents=[each for each in found if each is not None], names=named)

    # Model and features ----------------------------------------------------------------------------

    def attach(self, model: Learner, *, live: bool = False) -> None:
        """Prepare for ``model``: fit vocabularies on the training texts, cache the features of frozen backbones.

        Args:
            model: the model.
            live: training batches hold pictures also where the backbone is frozen. Its features are cached all the
                same, for validation and for what looks at the whole table.
        """
        if not self.splits:
            self._make_splits(self.divide(self.table))
        if live:
            self._require_pixels(model)
        self._live = frozenset({"image"} if live else ())
        held = encoder_keys(model)
        if model is self._model and held == self._encoder_keys:
            return
        self._model = model
        stale = {name for name, key in self._encoder_keys.items() if held.get(name) != key}
        for split in self.splits.values():
            split.features = {
                name: table for name, table in split.features.items() if name in held and name not in stale
            }
        for modality, encoder in model.encoders.items():
            if modality not in self.splits["train"].features:  # else a model before had the same backbone
                self._attach_modality(modality, encoder, model.device)
        self._encoder_keys = encoder_keys(model)  # vocabularies were fitted on the way
        self._require_whole_table(model)

    def _attach_modality(self, modality: str, encoder: Encoder, device: torch.device) -> None:
        sources, vectors = self.table.sources, self.table.vectors
        if modality not in sources and modality not in vectors:
            able = ", ".join(self._modalities())
            raise UsageError(f"{type(self).__name__} has {able}, but the model reads {modality!r}")
        if isinstance(encoder, WordVectors) and encoder.needs_texts and modality in sources:
            encoder.fit_texts([sources[modality](int(row)) for row in self.splits["train"].rows])
        if encoder.spec.name.startswith("features:") or modality not in sources:
            self._take_vectors(modality, encoder)
        elif encoder.spec.frozen:
            self._cache(modality, encoder, device)
        else:
            self._check_pictures(modality)

    def _require_pixels(self, model: Learner) -> None:
        names = {modality: encoder.spec.name for modality, encoder in model.encoders.items()}
        if "image" not in self.table.sources or names.get("image", "features:").startswith("features:"):
            raise UsageError(
                "training on pixels needs pictures and a network that reads them; "
                f"{type(self).__name__} has {', '.join(self._modalities())}, and the model reads "
                f"{', '.join(f'{modality} by {name}' for modality, name in names.items())}"
            )

    def _modalities(self) -> list[str]:
        return sorted({*self.table.sources, *(f"{name} vectors" for name in self.table.vectors)})

    def _take_vectors(self, modality: str, encoder: Encoder) -> None:
        vectors = self.table.vectors.get(modality)
        if vectors is None:
            raise UsageError(
                f"{type(self).__name__} holds {modality}s, not vectors, so backbone {encoder.spec.name!r} cannot read "
                "them; choose a network, for example timm:resnet18"
            )
        if vectors.shape[1] != encoder.num_features:
            raise UsageError(
                f"{type(self).__name__} has {modality} vectors of {vectors.shape[1]} numbers, but the model's backbone "
                f"{encoder.spec.name!r} gives {encoder.num_features}; use features:{vectors.shape[1]}"
            )
        for split in self.splits.values():
            split.features[modality] = vectors[torch.from_numpy(split.rows)]

    def _cache(self, modality: str, encoder: Encoder, device: torch.device) -> None:
        rows = self._rows_of(modality)
        cache = FeatureCache(
            encoder,
            self.table.sources[modality],
            rows,
            self.table.checksum,
            folder=self.cache_dir,
            batch_size=self.encode_batch_size,
            device=device,
        )
        table = cache.features(f"features of {len(rows):,} {modality}s")
        for split in self.splits.values():
            there = np.isin(split.rows, rows)
            features = torch.zeros(len(split), table.shape[1])
            features[torch.from_numpy(there)] = table[np.searchsorted(rows, split.rows[there])]
            split.features[modality] = features
        self._leave_out(dict(cache.rejected))

    def _rows_of(self, modality: str) -> NDArray[np.int64]:
        """Return the rows of all splits that have this modality, ascending."""
        rows = np.unique(np.concatenate([split.rows for split in self.splits.values()]))
        present = self.table.present.get(modality)
        return rows if present is None else rows[present[rows]]

    def _check_pictures(self, modality: str) -> None:
        """Open every picture once, so that training does not stumble over a damaged one after an hour."""
        if modality in self._checked:
            return
        self._checked.add(modality)
        rows, source, rejected = self._rows_of(modality), self.table.sources[modality], {}
        for row in track(rows.tolist(), f"checking {len(rows):,} {modality}s", total=len(rows)):
            try:
                source(row)
            except UnreadablePicture as error:
                rejected[row] = str(error)
        self._leave_out(rejected)

    def _require_whole_table(self, model: Learner) -> None:
        live = [name for name in model.encoders if name not in self.splits["train"].features]
        if live and model.needs_whole_table:
            raise UsageError(
                f"{type(model).__name__} is fitted on a whole feature table, so its backbone cannot learn; "
                "set frozen: true in its backbone"
            )

    # Batches ---------------------------------------------------------------------------------------

    def train_dataloader(self) -> Iterable[Batch]:
        """Return training batches: sliced from cached features, or decoded and augmented by a DataLoader."""
        split, model = self.splits["train"], self._attached()
        live = self._read_anew(split, self._live)
        if not live:
            whole = model.needs_whole_table
            size = None if whole else self.batch_size
            return SlicedBatches(split.columns(), size, shuffle=not whole, drop_last=True, divide=not whole)
        rows = self._live_rows(split, live, augmentation(self.augment))
        return DataLoader(
            rows,
            batch_size=self.batch_size,
            shuffle=True,
            num_workers=self.num_workers,
            drop_last=len(rows) > self.batch_size,
            persistent_workers=self.num_workers > 0,
        )

    def batches(self, split_name: str, *, batch_size: int | None = None) -> Iterable[Batch]:
        """Return the batches of a split in order, without augmentation: what a model is scored on."""
        split = self.splits[split_name]
        live = self._read_anew(split)
        if not live:
            return SlicedBatches(split.columns(), batch_size or 4096)
        rows = self._live_rows(split, live, augmentation("none"))
        return DataLoader(rows, batch_size=batch_size or self.encode_batch_size, num_workers=self.num_workers)

    def test_dataloader(self) -> list[Iterable[Batch]]:
        """Return the batches of queries and of the database: what ``Trainer.test`` ranks and ``predict`` encodes."""
        return [self.batches("query"), self.batches("database")]

    predict_dataloader = test_dataloader

    def codes(self, model: Learner, split_name: str, *, modality: str | None = None) -> BinaryCodes:
        """Return the model's codes of a split.

        Args:
            model: such as a :class:`~deephash.models.HashModel`; it is attached.
            split_name: see :meth:`setup`.
            modality: for cross-modal models, the one half that is encoded; None gives the model all it reads.
        """
        if model is not self._model:
            self.attach(model)
        wanted = [modality] if modality else list(model.encoders)
        keys = {key for name in wanted for key in (name, f"{name}_features")}
        parts = [
            model.encode({key: value for key, value in batch.items() if key in keys})
            for batch in self.batches(split_name)
        ]
        return BinaryCodes.concatenate(parts)

    def _attached(self) -> Learner:
        if self._model is None:
            raise UsageError(f"batches are made for a model: call attach(model) of {type(self).__name__} first")
        return self._model

    def _read_anew(self, split: Split, wanted: Collection[str] = ()) -> list[str]:
        """Return the modalities whose items are decoded for each batch: those not cached, and those ``wanted`` so."""
        return [name for name in self._attached().encoders if name not in split.features or name in wanted]

    def _live_rows(self, split: Split, live: list[str], augment: Augmentation) -> LiveRows:
        transforms = {name: self._attached().preprocess(name) for name in live}
        memories = {name: self._memory_of(name) for name in live if self._is_the_same_each_time(name, augment)}
        return LiveRows(split, {name: self.table.sources[name] for name in live}, transforms, augment, memories)

    def _is_the_same_each_time(self, modality: str, augment: Augmentation) -> bool:
        """Say whether rows are worth keeping: not where they are augmented, nor in each of several processes."""
        return self.num_workers == 0 and (modality != "image" or augment is unchanged)

    def _memory_of(self, modality: str) -> PreparedRows:
        """Return the prepared rows of a modality, which all models share that prepare them alike."""
        key = f"{modality} {self._attached().encoders[modality].spec}"
        if key not in self._memories:
            self._memories = {other: kept for other, kept in self._memories.items() if not other.startswith(modality)}
            self._memories[key] = PreparedRows()
        return self._memories[key]


def reason_of(rejected: dict[int, str]) -> str:
    """Return the last reason in a list of unreadable pictures."""
    return list(rejected.values())[-1]

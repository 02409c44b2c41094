"""Which items of an endless stream were seen before, in a file that a run can stop at and go on from.

Two sets of Bloom filters: of codes (:class:`~deephash.index.bloom.BloomDedup`) and of the items' own names, so that a
second run over the same place looks at what is new only. Nothing else grows with the stream.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.errors import DataError, UsageError
from deephash.foreign import read_npz, refused_as
from deephash.index.bloom import BloomDedup, random_hit_rate

SAMPLE = 20_000  # codes of this run that are kept, to see how uniform their bits are
LOOKED_AT = 500  # of those that agree in a band, about
NAMES_ERROR = 1e-6  # chance that a new item is taken for one that was looked at already
_FORMAT = 1


@dataclass(frozen=True)
class Plan:
    """How codes are cut into bands for a wanted rate of false positives.

    Attributes:
        bands: b; codes up to b - 1 bits apart are never missed.
        by_chance: of unrelated codes of uniform bits, the share that agrees in a band when the filter is full.
        error: overall rate of the Bloom filters when they are full.
    """

    bands: int
    by_chance: float
    error: float


def plan_bands(num_bits: int, items: int, rate: float, bands: int | None = None) -> Plan:
    """Return the most bands with which codes agree by chance at no more than half of ``rate``.

    Args:
        num_bits: K.
        items: that will be inserted at most.
        rate: wanted share of false positives, filters and chance together, when all items are in.
        bands: b, instead of the most that there can be.

    Raises:
        UsageError: numbers out of range, or codes too short for so many items.
    """
    if items < 1 or not 0 < rate < 1:
        raise UsageError(f"at least 1 item and a rate between 0 and 1 are needed, not {items} and {rate}")
    if bands is not None and not 1 <= bands <= num_bits:
        raise UsageError(f"bands lie between 1 and {num_bits}, the bits of a code, not {bands}")
    known = [bands] if bands is not None else range(1, num_bits + 1)
    fitting = [each for each in known if random_hit_rate(items, num_bits, each) <= rate / 2]
    if not fitting:
        chance = random_hit_rate(items, num_bits, known[0])
        longer = next(size for size in (64, 128, 256, 512, 1024, 2048) if random_hit_rate(items, size, 1) <= rate / 2)
        raise UsageError(
            f"of {items:,} codes of {num_bits} bits in {known[0]} band{'s' * (known[0] > 1)}, {chance:.2g} agree with "
            f"a stranger by chance, which is more than half of the rate {rate:g}; take codes of {longer} bits or more, "
            "fewer bands, or a higher rate"
        )
    chance = random_hit_rate(items, num_bits, fitting[-1])
    return Plan(fitting[-1], chance, rate - chance)


class SeenStream:
    """The state of a stream of codes.

    Args:
        model: fingerprint of what makes the codes.
        num_bits: K.
        items: that are looked at at most, over all runs.
        rate: see :func:`plan_bands`.
        bands: likewise.

    Attributes:
        looked: items that were looked at.
        found: those of them that were seen before.
        told: bytes of output that belong to this state; what was written after them is written again.
    """

    def __init__(self, model: str, num_bits: int, items: int, rate: float, bands: int | None = None) -> None:
        self.plan = plan_bands(num_bits, items, rate, bands)
        self.model, self.items, self.rate = model, items, rate
        try:
            self.codes = BloomDedup(items, num_bits, bands=self.plan.bands, error=self.plan.error)
            self.names = BloomDedup(items, 64, bands=1, error=NAMES_ERROR)
        except (MemoryError, ValueError):
            raise UsageError(
                f"the filters for {items:,} items do not fit the memory; take fewer, or fewer bands"
            ) from None
        self.looked = self.found = self.told = 0
        self._sample: list[BinaryCodes] = []

    def is_new(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Say which items nobody looked at yet; nothing is changed."""
        return ~self.names.seen(_keys(names))

    def take(self, names: Sequence[str] | None, codes: BinaryCodes) -> NDArray[np.bool_]:
        """Look at items and return which were seen before; ``names`` None is a stream whose items have none.

        Raises:
            UsageError: codes of another length, or more items than the filter was made for.
        """
        if (total := self.looked + len(codes)) > self.items:
            raise UsageError(
                f"the filter was made for {self.items:,} items, and with these it would be {total:,}; begin a "
                "new one with a larger --items"
            )
        seen = self.codes.add_or_seen(codes, every=True)
        room = SAMPLE - sum(map(len, self._sample))
        self._sample += [codes[:room]] if room > 0 and len(codes) else []
        if names is not None:
            self.names.add_or_seen(_keys(names))
        self.looked += len(codes)
        self.found += int(seen.sum())
        return seen

    def bytes_an_item(self) -> float:
        """Return the memory of all filters by the items they are made for."""
        return sum(each.arrays()["words"].nbytes for each in (self.codes, self.names)) / self.items

    def by_sample(self) -> tuple[int, int, float]:
        """Return (n, strangers, rate): of the first n codes of this run, those agreeing in a band with strangers only.

        A stranger is an earlier code that differs in more than an eighth of the bits. ``rate`` is what that comes to
        when all items are in; uniform bits would give ``plan.by_chance``, learned codes give much more.
        """
        if not self._sample:
            return 0, 0, 0.0
        codes = BinaryCodes.concatenate(self._sample)
        flagged = np.flatnonzero(self.codes.agreeing(codes))
        looked = flagged[:: max(1, len(flagged) // LOOKED_AT)]
        nearest = [codes[row : row + 1].hamming(codes[:row]).min() for row in looked.tolist()]
        far = np.mean(np.array(nearest) > codes.num_bits // 8) if nearest else 0.0
        strangers = round(float(far) * len(flagged))
        return len(codes), strangers, min(1.0, strangers / len(codes) * self.items / len(codes))

    def save(self, path: Path) -> None:
        """Write the state at once or not at all: a crash leaves the file of before."""
        partial = path.with_name(f"{path.name}.partial")
        counts = np.array([_FORMAT, self.items, self.looked, self.found, self.told])
        parts = {"counts": counts, "rate": np.array(self.rate), "model": np.array(self.model)}
        for name, filters in (("codes", self.codes), ("names", self.names)):
            parts |= {f"{name}_{key}": array for key, array in filters.arrays().items()}
        with partial.open("wb") as file:
            np.savez(file, **parts)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)

    @classmethod
    def load(cls, path: Path, model: str, num_bits: int, items: int | None, rate: float | None) -> SeenStream:
        """Return the state in a file.

        Args:
            path: what :meth:`save` wrote.
            model: fingerprint of what makes the codes now.
            num_bits: of the codes now.
            items: asked for now; None takes the file's.
            rate: likewise.

        Raises:
            DataError: no such file, or a damaged one.
            UsageError: it is of another model, or of other numbers.
        """
        with refused_as(DataError, "it is no filter of deephash dedup --stream"):
            archive = read_npz(path)
        try:
            version, its_items, looked, found, told = (int(each) for each in archive["counts"])
            its_model, its_rate = str(archive["model"]), float(archive["rate"])
            parts = [
                BloomDedup.of_arrays(
                    {key.removeprefix(f"{name}_"): each for key, each in archive.items() if key.startswith(f"{name}_")},
                    path,
                )
                for name in ("codes", "names")
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} is no filter of deephash dedup --stream: {error}") from None
        if version != _FORMAT:
            raise DataError(f"{path} is a filter of format {version}; this deephash reads {_FORMAT}")
        length = parts[0].settings.num_bits
        if (its_model, length) != (model, num_bits):
            raise UsageError(f"{path} holds codes of {its_model} ({length} bits), not of {model} ({num_bits} bits)")
        for name, asked, its in (("--items", items, its_items), ("--false-positives", rate, its_rate)):
            if asked is not None and asked != its:
                raise UsageError(f"{path} was made with {name} {its}, not {asked}; leave it out, or begin a new file")
        state = cls(model, num_bits, its_items, its_rate, parts[0].settings.bands)
        if (parts[0].settings, parts[1].settings) != (state.codes.settings, state.names.settings):
            raise DataError(f"{path} is damaged: its filters are not those of its numbers")
        state.codes, state.names = parts
        state.looked, state.found, state.told = looked, found, told
        return state


def _keys(names: Sequence[str]) -> BinaryCodes:
    digests = [hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest() for name in names]
    return BinaryCodes(np.frombuffer(b"".join(digests), np.uint8).reshape(len(names), 8).copy(), 64)

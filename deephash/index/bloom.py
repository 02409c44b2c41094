"""Streaming near-duplicate detection in constant memory: one Bloom filter a band, no code stored.

After LSHBloom (arXiv 2411.04257), for hash codes instead of MinHash signatures: an item is a duplicate when one of its
bands was seen before. Codes that differ in at most b - 1 bits are never missed; what is flagged wrongly is bounded by
the filters' error plus chance agreement of a band (``random_hit_rate``), so bands should have 32 bits or more. Filters
cannot forget, list the twin or tell how similar it is: where that matters, verify what is flagged with ``dedup.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import ceil, comb, exp, expm1, log, log1p
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.errors import DataError, UsageError
from deephash.foreign import read_npz, refused_as
from deephash.index.available import has_numba
from deephash.index.bands import band_bounds, band_keys

CODES_AT_ONCE = 1 << 14  # bounds the table of bit places: 8 bytes a code, band and hash function
_GOLDEN = 0x9E3779B97F4A7C15
_M64 = (1 << 64) - 1


def bloom_bits(capacity: int, error: float) -> int:
    """Return the bits of a Bloom filter for ``capacity`` keys at false-positive rate ``error``: -n ln p / (ln 2)^2."""
    if capacity < 1 or not 0 < error < 1:
        raise UsageError(f"a filter needs capacity >= 1 and 0 < error < 1, not {capacity} and {error}")
    return ceil(-capacity * log(error) / log(2) ** 2)


def error_per_band(overall: float, bands: int) -> float:
    """Return p with 1 - (1 - p)^bands = ``overall``."""
    return -expm1(log1p(-overall) / bands)


def random_hit_rate(num_items: int, num_bits: int, bands: int) -> float:
    """Return the chance, for uniform bits, that an unrelated item shares a band with one of ``num_items``."""
    chance: float = num_items * sum(2.0 ** (low - high) for low, high in band_bounds(num_bits, bands))
    return min(1.0, chance)


def band_recall(num_bits: int, bands: int, distance: int) -> float:
    """Return the chance that two codes ``distance`` random bits apart agree in a band; bands must divide the bits."""
    if num_bits % bands:
        raise UsageError(f"{num_bits} bits cannot be cut into {bands} equal bands")
    width = num_bits // bands
    terms = (int((-1) ** j) * comb(bands, j) * comb(num_bits - j * width, distance) for j in range(bands + 1))
    missed: int = sum(terms)
    return 1 - missed / comb(num_bits, distance)


@dataclass(frozen=True, slots=True)
class BloomSettings:
    """What two filters must share to be merged.

    Attributes:
        capacity: items that may be inserted.
        error: overall false-positive rate at capacity.
        num_bits: K of the codes.
        bands: b; differences of up to b - 1 bits are never missed.
        seed: of the hash functions and of the order of the bits.
    """

    capacity: int
    error: float
    num_bits: int
    bands: int
    seed: int = 0


class BloomDedup:
    """ "Was something like this seen before?" for a stream of codes.

    Args:
        capacity: n, items to be inserted at most (those not flagged).
        num_bits: K of the codes.
        bands: b.
        error: wanted overall false-positive rate at capacity.
        seed: of the hash functions; also of the fixed shuffle that spreads neighbouring bits, which are often
            correlated, over the bands.
    """

    def __init__(self, capacity: int, num_bits: int, *, bands: int = 4, error: float = 1e-5, seed: int = 0) -> None:
        self.settings = BloomSettings(capacity, error, num_bits, bands, seed)
        self._bounds = band_bounds(num_bits, bands)
        per_band = error_per_band(error, bands)
        self.size = bloom_bits(capacity, per_band)
        self.hashes = max(1, round(self.size / capacity * log(2)))
        self._order = np.random.default_rng(seed).permutation(num_bits)
        self._words = np.zeros((bands, -(-self.size // 64)), np.uint64)
        self.inserted = 0

    # Using it --------------------------------------------------------------------------------------

    def add_or_seen(self, codes: BinaryCodes, *, every: bool = False) -> NDArray[np.bool_]:
        """Return for each code, in order, whether it was seen; those that were not are inserted.

        Args:
            codes: [N].
            every: insert all, so that a code near one that was flagged is found as well, rightly flagged or not.

        Raises:
            UsageError: codes of another length, or more insertions than the filter was sized for.
        """
        parts = [np.empty(0, dtype=bool)]
        for first in range(0, len(codes), CODES_AT_ONCE):
            parts.append(self._stream(codes[first : first + CODES_AT_ONCE], every))
        return np.concatenate(parts)

    def _stream(self, codes: BinaryCodes, every: bool) -> NDArray[np.bool_]:
        room = self.settings.capacity - self.inserted
        run = _compiled_stream() if has_numba() else stream
        seen, inserted = run(self._words, self._hashes(codes), room, every)
        self.inserted += inserted
        if inserted > room:
            raise UsageError(
                f"the filter is full: it was sized for {self.settings.capacity:,} items, and beyond that its error "
                "exceeds the one asked for; make one with a larger capacity"
            )
        result: NDArray[np.bool_] = seen
        return result

    def seen(self, codes: BinaryCodes) -> NDArray[np.bool_]:
        """Return for each code whether it was seen, without inserting anything."""
        hashes = self._hashes(codes)
        result = np.zeros(len(codes), dtype=bool)
        for band in range(self.settings.bands):
            bits = self._words[band, hashes[band] >> np.uint64(6)] >> (hashes[band] & np.uint64(63)) & np.uint64(1)
            result |= bits.all(axis=1)
        return result

    def _hashes(self, codes: BinaryCodes) -> NDArray[np.uint64]:
        """Return the places of each code's keys, uint64 [bands, N, hashes]: 64-bit double hashing, keyed."""
        if codes.num_bits != self.settings.num_bits or codes.num_levels != 1:
            raise UsageError(f"this filter is for codes of {self.settings.num_bits} bits, not for {codes.describe()}")
        keys = self._band_keys(codes)
        steps = np.arange(self.hashes, dtype=np.uint64)
        salts = np.array([_GOLDEN * (2 * self.settings.seed + half + 1) & _M64 for half in (0, 1)], np.uint64)
        one = mix64(keys ^ mix64(salts[:1]))[..., None]
        two = mix64(keys + salts[1])[..., None] | np.uint64(1)
        return (one + steps * two) % np.uint64(self.size)

    def _band_keys(self, codes: BinaryCodes) -> NDArray[np.uint64]:
        return band_keys(BinaryCodes.from_bits(codes.bits()[:, self._order]), self._bounds)

    def agreeing(self, codes: BinaryCodes) -> NDArray[np.bool_]:
        """Say which codes agree in a band with an earlier one of them; exactly, and without the filters."""
        found = np.zeros(len(codes), bool)
        for keys in self._band_keys(codes):
            _, first = np.unique(keys, return_index=True)
            again = np.ones(len(codes), bool)
            again[first] = False
            found |= again
        return found

    # Looking at it ---------------------------------------------------------------------------------

    @property
    def fill(self) -> float:
        """Share of the bits that are set, the mean over the bands."""
        return float(np.bitwise_count(self._words).sum() / (self.settings.bands * self.size))

    @property
    def current_error(self) -> float:
        """Estimated overall false-positive rate now, from the fill of each band."""
        fills = np.bitwise_count(self._words).sum(axis=1) / self.size
        return float(1 - np.prod(1 - fills**self.hashes))

    def expected_error(self, inserted: int) -> float:
        """Return the overall false-positive rate after ``inserted`` items: 1 - (1 - (1 - e^(-k t / m))^k)^b."""
        per_band = (1 - exp(-self.hashes * inserted / self.size)) ** self.hashes
        return -expm1(self.settings.bands * log1p(-per_band))

    # Keeping and joining ---------------------------------------------------------------------------

    def merge(self, other: BloomDedup) -> None:
        """Take in what ``other`` has seen; near-duplicates between two separate streams are not found out afterwards.

        Raises:
            UsageError: filters of different settings.
        """
        if self.settings != other.settings:
            raise UsageError(f"only filters of equal settings can be joined: {self.settings} and {other.settings}")
        self._words |= other._words
        self.inserted += other.inserted

    def save(self, path: str | Path) -> None:
        """Write an ``.npz``."""
        np.savez_compressed(path, **self.arrays())  # type: ignore[arg-type]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a file keeps of it."""
        chosen = self.settings
        return {
            "words": self._words,
            "inserted": np.array(self.inserted),
            "settings": np.array([chosen.capacity, chosen.num_bits, chosen.bands, chosen.seed]),
            "error": np.array(chosen.error),
        }

    @classmethod
    def load(cls, path: str | Path) -> BloomDedup:
        """Read what :meth:`save` wrote; nothing in the file can run code.

        Raises:
            DataError: not such a file, or one whose parts do not fit each other.
        """
        with refused_as(DataError, "it is not a file written by BloomDedup.save"):
            archive = read_npz(path)
        return cls.of_arrays(archive, path)

    @classmethod
    def of_arrays(cls, archive: Mapping[str, NDArray[Any]], path: str | Path) -> BloomDedup:
        """Return the filters of :meth:`arrays`, read from ``path``. Raises DataError where they do not fit."""
        try:
            words, error = archive["words"], float(archive["error"])
            capacity, num_bits, bands, seed = (int(number) for number in archive["settings"])
            expected = (bands, -(-bloom_bits(capacity, error_per_band(error, bands)) // 64))
            if words.shape != expected or words.dtype != np.uint64 or num_bits > 2**20:
                raise ValueError(f"it is damaged: filters of {list(words.shape)} words, {list(expected)} expected")
            filters = cls(capacity, num_bits, bands=bands, error=error, seed=seed)
            filters.inserted = int(archive["inserted"])
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise DataError(f"{path} is not a file written by BloomDedup.save: {error}") from None
        filters._words = words
        return filters


def stream(words: Any, places: Any, room: int, every: bool) -> Any:
    """Return (seen [N], number inserted): each code is looked up in all bands, and inserted if new, or if all are.

    Plain loops, compiled where Numba is there. Stops, with one more than ``room`` counted, when the filter is full.
    """
    bands, number, hashes = places.shape
    seen = np.zeros(number, np.bool_)
    inserted = 0
    for row in range(number):
        for band in range(bands):
            known = True
            for step in range(hashes):
                place = places[band, row, step]
                known = known and (words[band, place >> np.uint64(6)] >> (place & np.uint64(63)) & np.uint64(1)) != 0
            seen[row] = seen[row] or known
        if seen[row] and not every:
            continue
        inserted += 1
        if inserted > room:
            break
        for band in range(bands):
            for step in range(hashes):
                place = places[band, row, step]
                words[band, place >> np.uint64(6)] |= np.uint64(1) << (place & np.uint64(63))
    return seen, inserted


@cache
def _compiled_stream() -> Any:
    from deephash.index.kernels import compiled

    return compiled(stream)


def mix64(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a bijective scrambling of 64-bit numbers (the finaliser of SplitMix64, Steele et al., OOPSLA 2014)."""
    keys = keys + np.uint64(_GOLDEN)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def best_bands(threshold: float, permutations: int) -> tuple[int, int]:
    """Return (bands, rows a band) for MinHash signatures: the least area of misses and false alarms over similarity.

    For collections whose codes are MinHash signatures; of two equally good choices the one with fewer bands is taken.
    """
    if not 0 < threshold < 1 or permutations < 1:
        raise UsageError(
            f"a threshold in (0, 1) and at least 1 permutation are needed, not {threshold}, {permutations}"
        )
    low = (np.arange(1000) + 0.5) / 1000 * threshold
    high = threshold + (np.arange(1000) + 0.5) / 1000 * (1 - threshold)
    best = (np.inf, 0, 0)
    for bands in range(1, permutations + 1):
        for rows in range(1, permutations // bands + 1):
            alarms = float((1 - (1 - low**rows) ** bands).mean() * threshold)
            misses = float(((1 - high**rows) ** bands).mean() * (1 - threshold))
            best = min(best, (0.5 * alarms + 0.5 * misses, bands, rows))
    return best[1], best[2]

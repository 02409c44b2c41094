"""CLIP's word pieces: byte-pair encoding of lower-case text, after Sennrich et al. (ACL 2016), without torch.

The pieces are open_clip's list of merges, one a line from the second line on; a model folder carries it. Numbers: 256
bytes, the same at a word's end, one a merge, then the start and the end of a text.
"""

from __future__ import annotations

import gzip
import html
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deephash.errors import CollectionDamaged
from deephash.foreign import read_bytes, refused_as

MERGES = 49_152 - 256 - 2
_LONGEST = 8 << 20  # bytes of the file; CLIP's has 1.4 million
_END = "</w>"
_PATTERN = r"<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class WordPieces:
    """Turns a text into numbers of pieces.

    Args:
        path: the gzipped list of merges.
        length: L, how many numbers a text has; longer ones are cut, shorter ones end in zeros.
    """

    def __init__(self, path: Path, length: int = 77) -> None:
        self.path, self.length = path, length
        self._known: dict[str, list[int]] = {}

    def __call__(self, text: str) -> NDArray[np.int64]:
        """Return int64 [L]."""
        first, last = self._first_special, self._first_special + 1
        numbers = [first, *(number for word in self._words(text) for number in self._pieces(word)), last]
        row = np.zeros(self.length, np.int64)
        if len(numbers) > self.length:
            numbers = [*numbers[: self.length - 1], last]
        row[: len(numbers)] = numbers
        return row

    def _words(self, text: str) -> list[str]:
        import ftfy
        import regex

        cleaned = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
        found: list[str] = regex.findall(_PATTERN, " ".join(cleaned.split()).lower(), regex.IGNORECASE)
        return found

    def _pieces(self, word: str) -> list[int]:
        if word in ("<start_of_text>", "<end_of_text>"):
            return [self._first_special + (word == "<end_of_text>")]
        if word not in self._known:
            letters = [_BYTES[byte] for byte in word.encode()]
            self._known[word] = [self._numbers[piece] for piece in self._merged([*letters[:-1], letters[-1] + _END])]
        return self._known[word]

    def _merged(self, pieces: list[str]) -> list[str]:
        """Join the pair of neighbours that comes first in the list, everywhere, until none is in it."""
        unknown = len(self._ranks)
        while len(pieces) > 1:
            best = min(pairwise(pieces), key=lambda pair: self._ranks.get(pair, unknown))
            if best not in self._ranks:
                break
            joined: list[str] = []
            for piece in pieces:
                if joined and (joined[-1], piece) == best:
                    joined[-1] += piece
                    joined.append("")  # what was joined begins no second pair
                else:
                    joined.append(piece)
            pieces = [piece for piece in joined if piece]
        return pieces

    @cached_property
    def _merges(self) -> list[tuple[str, str]]:
        with refused_as(CollectionDamaged, "copy the model folder again"):
            packed = read_bytes(self.path, _LONGEST)
        try:
            lines = gzip.decompress(packed).decode().split("\n")[1 : MERGES + 1]
            return [(left, right) for left, right in (line.split() for line in lines)]
        except (OSError, EOFError, ValueError) as error:
            raise CollectionDamaged(
                f"{self.path} is no list of word pieces: {error}; copy the model folder again"
            ) from None

    @cached_property
    def _ranks(self) -> dict[tuple[str, str], int]:
        return {pair: rank for rank, pair in enumerate(self._merges)}

    @cached_property
    def _numbers(self) -> dict[str, int]:
        letters = list(_BYTES.values())
        pieces = [*letters, *(letter + _END for letter in letters), *(left + right for left, right in self._merges)]
        return {piece: number for number, piece in enumerate(pieces)}

    @property
    def _first_special(self) -> int:
        return 2 * len(_BYTES) + len(self._merges)


def _letters_of_bytes() -> dict[int, str]:
    """Return a visible letter for each byte: itself where it is one, else one of those after the 256th."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + place) for place, byte in enumerate(others)}


_BYTES = _letters_of_bytes()

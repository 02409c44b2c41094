"""Hostile ``.npz`` and safetensors files, as functions from a good file's bytes."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

DEEP = "[" * 10_000 + "]" * 10_000


def npy(shape: Any, descr: str = "|u1", *, data: bytes = b"", fortran: bool = False) -> bytes:
    """Return an ``.npy`` whose header says ``shape``, whatever follows."""
    head = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}"
    return _npy(head, data)


def _npy(head: str, data: bytes = b"") -> bytes:
    text = head.encode().ljust(-(-(len(head) + 11) // 64) * 64 - 11) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def _zip(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def _bomb(size: int) -> bytes:
    """Return an npz of one array of ``size`` zeros."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("codes.npy", "w") as member:
        member.write(npy((size // 2, 2)))
        for _ in range(size // 2**24):
            member.write(bytes(2**24))
    return file.getvalue()


@cache
def npz_changes() -> dict[str, Callable[[bytes], bytes]]:
    """Return ways to replace an ``.npz``."""
    eight_tb = npy((8 * 10**12 // 2, 2))
    overlapping = _overlapping(2**26, 40)
    flagged = bytearray(_zip([("codes.npy", npy((20, 2), data=bytes(40)))]))
    flagged[6] |= 1
    flagged[bytes(flagged).index(b"PK\x01\x02") + 8] |= 1
    ways: dict[str, bytes] = {
        "header of 8 TB": _zip([("codes.npy", eight_tb), ("num_bits.npy", npy((), "<i8", data=bytes(8)))]),
        "header of negative length": _zip([("codes.npy", npy((-1, 2)))]),
        "header longer than its data": _zip([("codes.npy", npy((20, 2), data=bytes(39)))]),
        "header shorter than its data": _zip([("codes.npy", npy((20, 2), data=bytes(41)))]),
        "empty with a huge width": _zip([("codes.npy", npy((0, 2**60)))]),
        "objects": _zip([("codes.npy", npy((1,), "|O", data=b"\x80\x04cos\nsystem\n."))]),
        "wide text": _zip([("codes.npy", npy((1,), "<U536870911"))]),
        "structured": _zip(
            [
                (
                    "codes.npy",
                    _npy("{'descr': [('a', '<i8', (1000000, 1000000))], 'fortran_order': False, 'shape': (1,), }"),
                )
            ]
        ),
        "nested header": _zip([("codes.npy", _npy("(" * 5000))]),
        "code as header": _zip([("codes.npy", _npy("{'descr': __import__('os').system('x'), 'shape': (), }"))]),
        "sizes as floats": _zip([("codes.npy", npy("(2.0, 3)"))]),
        "sizes as bools": _zip([("codes.npy", npy("(True, True)", data=b"\x00"))]),
        "no arrays": _zip([]),
        "no array inside": _zip([("codes.npy", b"hello"), ("../../evil.npy", b"x")]),
        "one name twice": _zip([("codes.npy", npy((1, 2), data=bytes(2))), ("codes", npy((1, 2), data=bytes(2)))]),
        "2000 members": _zip([(f"{n}.npy", b"") for n in range(2000)]),
        "lzma": _zip([("codes.npy", npy((20, 2), data=bytes(40)))], zipfile.ZIP_LZMA),
        "bzip2": _zip([("codes.npy", npy((20, 2), data=bytes(40)))], zipfile.ZIP_BZIP2),
        "encrypted": bytes(flagged),
        "overlapping parts": overlapping,
        "bomb": _bomb(2**29),
        "a pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
        "a single array": npy((20, 2), data=bytes(40)),
        "only the mark": b"PK",
        "an end alone": b"PK\x05\x06" + bytes(18),
    }
    codes = npy((20, 2), data=bytes(40))
    for name, bits in {"1e12": 10**12, "1e6": 10**6, "0": 0, "-5": -5, "15": 15}.items():
        ways[f"num_bits {name}"] = _zip(
            [("codes.npy", codes), ("num_bits.npy", npy((), "<i8", data=struct.pack("<q", bits)))]
        )
    for name, kind in {"float": "<f8", "text": "<U2", "bool": "|b1", "two": "<i4"}.items():
        shape = {"<f8": (), "<U2": (), "|b1": (), "<i4": (2,)}[kind]
        data = bytes({"<f8": 8, "<U2": 8, "|b1": 1, "<i4": 8}[kind])
        ways[f"num_bits {name}"] = _zip([("codes.npy", codes), ("num_bits.npy", npy(shape, kind, data=data))])
    for name, kind in {"float": "<f4", "text": "<U1", "int64": "<i8", "complex": "<c8"}.items():
        width = np.dtype(kind).itemsize
        members = [
            ("codes.npy", npy((20, 2), kind, data=bytes(40 * width))),
            ("num_bits.npy", npy((), "<i8", data=bytes(8))),
        ]
        ways[f"codes of {name}"] = _zip([*members, ("contents.npy", members[0][1]), ("names.npy", members[0][1])])
    return {name: lambda old, new=content: new for name, content in ways.items()}


def _overlapping(size: int, times: int) -> bytes:
    """Return a zip that names one compressed part many times: ``times`` x ``size`` bytes out of a few kB."""
    whole = _zip([("a.npy", npy((size,)) + bytes(size))])
    start = whole.index(b"PK\x01\x02")
    entry = whole[start : whole.index(b"PK\x05\x06")]
    entries = b"".join(entry.replace(b"a.npy", f"{chr(97 + n % 26)}.np{n // 26}".encode()) for n in range(times))
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, times, times, len(entries), start, 0)
    return whole[:start] + entries + end


def safetensors_changes() -> dict[str, Callable[[bytes], bytes]]:
    """Return ways to change ``model.safetensors``."""

    def headed(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
        def make(old: bytes) -> bytes:
            (length,) = struct.unpack("<Q", old[:8])
            header = json.loads(old[8 : 8 + length])
            header.pop("__metadata__", None)
            text = json.dumps(change(header) or header).encode()
            return struct.pack("<Q", len(text)) + text + old[8 + length :]

        return make

    def entry(**facts: Any) -> Callable[[bytes], bytes]:
        return headed(lambda header: next(iter(header.values())).update(facts))

    ways: dict[str, Callable[[bytes], bytes]] = {
        f"header length {length}": lambda old, length=length: struct.pack("<Q", length) + old[8:]
        for length in (0, 1, 7, 10**6, 99_999_999, 10**8 + 1, 2**63 - 1, 2**63, 2**64 - 1)
    }
    for dtype in ("I64", "F64", "F16", "BF16", "BOOL", "F8_E4M3", "C64", "X99", None, 5):
        ways[f"dtype {dtype}"] = entry(dtype=dtype)
    for shape in ([10**12], [2**63], [-1], [0, 2**62], [2**32, 2**32], [1.5], "x", None, [], [True]):
        ways[f"shape {shape}"] = entry(shape=shape)
    for ends in ([0, 10**15], [-8, 0], [8, 0], [0, 0], [2**64, 2**65], "x", []):
        ways[f"offsets {ends}"] = entry(data_offsets=ends)
    return ways | {
        "all tensors one shape too many": headed(lambda h: {f"x.{k}": v for k, v in h.items()}),
        "a tensor of no bytes more": headed(
            lambda h: h | {"extra": {"dtype": "F32", "shape": [0, 2**40], "data_offsets": [0, 0]}}
        ),
        "deep header": lambda old: struct.pack("<Q", 20_000) + DEEP.encode() + old[8:],
        "a pickle": lambda old: b"\x80\x04cos\nsystem\n(S'true'\ntR.",
        "nothing": lambda old: b"",
        "names with dots and slashes": headed(lambda h: {f"../{k}": v for k, v in h.items()}),
    }

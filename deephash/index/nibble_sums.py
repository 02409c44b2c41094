"""Sums of 16-entry tables by nibble, 32 codes at once: the byte shuffle of AVX2 through Numba, exact.

A shuffle looks 32 nibbles up in a table that a register holds. The products of a nibble's dimensions are small even
numbers, so that half of them, made positive, fit into a byte, and several nibbles are added before the sum is widened:
nothing is rounded, other than in Faiss's fast scan, whose tables are scaled to 8 bits.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm  # type: ignore[import-untyped]
import numba
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np import arrayobj

LANES = 32  # codes of a block
GROUP = 7  # bytes added before a sum is widened: 14 nibbles of at most 18 stay below 256
TILE = 4  # queries that share what was read

_BYTES, _WIDE = ir.VectorType(ir.IntType(8), LANES), ir.VectorType(ir.IntType(16), LANES)
_PAIRS, _TABLE = ir.VectorType(ir.IntType(16), LANES // 2), ir.VectorType(ir.IntType(8), 16)


def has_shuffle() -> bool:
    """Say whether this processor shuffles 32 bytes in one instruction."""
    return bool(llvm.get_host_cpu_features().get("avx2", False))


def _emit(builder: ir.IRBuilder, codes: Any, tables: list[Any], sums: list[Any]) -> None:
    """Add GROUP bytes of 32 codes at ``codes`` to 16-bit ``sums``, by the tables at ``tables``, of each query."""
    shuffle = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_BYTES, [_BYTES, _BYTES]), "llvm.x86.avx2.pshuf.b"
    )
    low_four, four = ir.Constant(_BYTES, [15] * LANES), ir.Constant(_PAIRS, [4] * (LANES // 2))
    both = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [*range(16), *range(16)])
    totals = [ir.Constant(_BYTES, [0] * LANES) for _ in tables]
    for byte in range(GROUP):
        read = _load(builder, codes, byte * LANES, _BYTES)
        shifted = builder.bitcast(builder.lshr(builder.bitcast(read, _PAIRS), four), _BYTES)
        for place, nibble in enumerate((builder.and_(shifted, low_four), builder.and_(read, low_four))):
            for query, table in enumerate(tables):
                held = _load(builder, table, (2 * byte + place) * 16, _TABLE)
                wide = builder.shuffle_vector(held, ir.Constant(_TABLE, ir.Undefined), both)
                totals[query] = builder.add(totals[query], builder.call(shuffle, [wide, nibble]))
    for total, place in zip(totals, sums):
        target = builder.bitcast(place, _WIDE.as_pointer())
        known = builder.load(target)
        known.align = 1
        stored = builder.store(builder.add(known, builder.zext(total, _WIDE)), target)
        stored.align = 1


def _load(builder: ir.IRBuilder, base: Any, offset: int, kind: ir.Type) -> Any:
    place = builder.gep(base, [ir.Constant(ir.IntType(64), offset)])
    read = builder.load(builder.bitcast(place, kind.as_pointer()))
    read.align = 1
    return read


def _adder(queries: int) -> Any:
    def add_group(_: Any, codes: Any, place: Any, tables: Any, start: Any, stride: Any, sums: Any) -> Any:
        """Add one group: codes.flat[place:], tables.flat[start + query * stride:], sums uint16 [queries, 32]."""

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: list[Any]) -> Any:
            views = [arrayobj.make_array(signature.args[each])(context, builder, args[each]) for each in (0, 2, 5)]
            read, table, total = (view.data for view in views)
            at = [builder.add(args[3], builder.mul(ir.Constant(ir.IntType(64), q), args[4])) for q in range(queries)]
            rows = [ir.Constant(ir.IntType(64), q * LANES) for q in range(queries)]
            _emit(
                builder,
                builder.gep(read, [args[1]]),
                [builder.gep(table, [each]) for each in at],
                [builder.gep(total, [row]) for row in rows],
            )
            return context.get_dummy_value()

        return numba.void(codes, numba.int64, tables, numba.int64, numba.int64, sums), generate

    return intrinsic(add_group)


add_group_of_one, add_group_of_four = _adder(1), _adder(TILE)

"""Sixty-four pixels at a time: what Numba's language has no word for, as LLVM instructions.

The instructions are portable; LLVM turns them into the widest ones of the machine it compiles on.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 64


def _lanes(context: Any, builder: Any, kind: Any, array: Any, start: Any) -> Any:
    """LANES elements of an array, beginning at start, as one vector."""
    values = context.make_array(kind)(context, builder, array)
    vector = ir.VectorType(context.get_data_type(kind.dtype), LANES)
    place = builder.gep(values.data, [start])
    loaded = builder.load(builder.bitcast(place, vector.as_pointer()))
    loaded.align = kind.dtype.bitwidth // 8
    return loaded


@intrinsic
def nonzero_lanes(typing: Any, array: Any, start: Any) -> Any:
    """Bit j says whether array[start + j] is not 0; array holds LANES elements from start on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = _lanes(context, builder, signature.args[0], *arguments)
        bits = builder.icmp_unsigned("!=", lanes, ir.Constant(lanes.type, None))
        return builder.bitcast(bits, ir.IntType(LANES))

    return types.uint64(array, types.int64), generate


@intrinsic
def lanes_from(typing: Any, array: Any, start: Any, limit: Any) -> Any:
    """Bit j says whether array[start + j], unsigned, is limit or more; LANES are there."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = _lanes(context, builder, signature.args[0], *arguments[:2])
        element, limit = lanes.type.element, arguments[2]
        beyond = ir.Constant(ir.IntType(1), 0)
        if element.width < limit.type.width:  # a limit that no element can reach
            beyond = builder.icmp_unsigned(
                ">", limit, ir.Constant(limit.type, 2**element.width - 1)
            )
            limit = builder.trunc(limit, element)
        zero = ir.Constant(ir.IntType(32), 0)
        first = builder.insert_element(ir.Constant(lanes.type, ir.Undefined), limit, zero)
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
        bits = builder.icmp_unsigned(">=", lanes, builder.shuffle_vector(first, first, everywhere))
        word = builder.bitcast(bits, ir.IntType(LANES))
        return builder.select(beyond, ir.Constant(ir.IntType(LANES), 0), word)

    return types.uint64(array, types.int64, types.uint64), generate


@intrinsic
def lowest_bit(typing: Any, word: Any) -> Any:
    """Number of the lowest bit that is set; word is not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.true_bit)

    return types.int64(types.uint64), generate


@intrinsic
def bits_set(typing: Any, word: Any) -> Any:
    """How many bits of a word are set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate

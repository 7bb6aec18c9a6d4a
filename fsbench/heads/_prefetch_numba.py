"""Prefetch rows of features into the caches.

The images of a task lie anywhere in memory, where a processor cannot guess the next one. A row that is
prefetched arrives while another one is computed.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, config, types
from numba.extending import intrinsic

from fsbench.heads._numba import Floats, Ints, compiled

LINE = 16  # float32 values in a cache line


def _line(_context: Any, array: types.Array, _row: types.Type, _column: types.Type) -> Any:
    """Return the signature of the instruction that prefetches a cache line, and its generator."""

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> ir.Value:
        matrix, place = context.make_array(array)(context, builder, arguments[0]), arguments[1:]
        value = cgutils.get_item_pointer(  # type: ignore[no-untyped-call]
            context, builder, array, matrix, place, wraparound=False
        )
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        instruction = builder.module.declare_intrinsic(
            "llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        )
        read, keep, data = (ir.Constant(number, code) for code in (0, 3, 1))
        builder.call(instruction, [builder.bitcast(value, byte), read, keep, data])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), generate


# Without the compiler, there is no such instruction.
_prefetch_line: Callable[[Floats, int, int], object] = (
    (lambda *_: None) if config.DISABLE_JIT else intrinsic(_line)  # type: ignore[assignment, attr-defined]
)


@compiled
def prefetch(points: Floats, rows: Ints, place: int) -> None:
    """Prefetch row `rows[place]` of points (n, d), if there is such a place."""
    if place < len(rows):
        for i in range(0, points.shape[1], LINE):
            _prefetch_line(points, rows[place], i)
        _prefetch_line(points, rows[place], points.shape[1] - 1)  # a row need not begin where a line begins

"""Matrix products and sums of rows on several threads: the work before and after the loop of a scan.

The work is split along rows or columns of the result, never along the sum, so the bits do not depend on the number of
threads. There is one compilation per dtype, for all layouts of the operands, writable or not.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
from numba import config, from_dtype, types
from numba.extending import overload

from ...base.modes import quiet
from ...errors import DtypeError, ShapeError
from ..jit import kernel
from ..llvm.address import address_of
from ..pool import Task, run_all, split, workers
from .narrow import check_narrow, format_of, narrow_into, packed, rows_into
from .operands import bits_of, header_of, product_in_numpy
from .packed import STRIP_ROWS, gemm, part_of, pieces_into
from .tile import BAND_ROWS, PANEL_BYTES, ROWS, ready

Array = npt.NDArray[Any]

SUM_DEPTH = 1024
"""Block length of a sum of products: K products take 1024 + K / 1024 roundings.

One by one, 100,000 products of float32 came out with 16 times the error of OpenBLAS."""
SHORT_DEPTH = 256
"""Shorter sums are added to C directly, which saves a pass over C."""
SUM_ROWS = 256
"""Block length of a sum of rows: R rows take 256 + R / 256 roundings in place of R."""
FLOAT_BYTES_PER_SECOND = 4e11
"""Operations per second of one thread times bytes per element: the cost model of a product."""
SPEED: Final = {"float32": 1, "bfloat16": 2, "int8": 4}
"""Operations per second relative to float32."""
BYTES_PER_SECOND = 1e10
"""Bytes per second that one thread sums."""
_DTYPES = frozenset({np.dtype(np.float32), np.dtype(np.float64)})
TASKS_PER_THREAD = 2
"""Tasks per thread: more than one, so that the caller takes over from a thread that lost its core."""


# ------------------------------------------------------------------------------------------------ products


def _into(pieces: Array, b: Array, c: Array, accumulate: bool, fixed: int, like: Any) -> None:
    """Multiply in the format of `like`."""


@overload(_into)  # type: ignore[untyped-decorator, unused-ignore]
def _choose(pieces, b, c, accumulate, fixed, like):  # type: ignore[no-untyped-def]  # noqa: ARG001
    if like == c.dtype:
        return lambda pieces, b, c, accumulate, fixed, like: pieces_into(pieces, b, c, accumulate)  # noqa: ARG005
    return lambda pieces, b, c, accumulate, fixed, like: narrow_into(pieces, b, c, accumulate, fixed, like)  # noqa: PLW0108


@kernel
def _multiply(pieces: Array, b: Array, c: Array, accumulate: bool, fixed: int, like: Any) -> None:
    M, K = c.shape[0], b.shape[0]
    if K < SHORT_DEPTH or (K <= SUM_DEPTH and not accumulate) or header_of(like) > 0:
        _into(pieces, b, c, accumulate, fixed, like)
        return
    strips = -(-M // STRIP_ROWS)
    room = np.empty((-(-M // max(1, strips)), c.shape[1]), c.dtype)
    for s in range(strips):
        i0, i1 = s * M // strips, (s + 1) * M // strips
        target = c[i0:i1, :]
        part = room[: target.shape[0], : c.shape[1]]  # sliced twice, it has the type of C: one compilation suffices
        more = accumulate
        for stop in range(K, 0, -SUM_DEPTH):
            start = max(0, stop - SUM_DEPTH)
            rows = part_of(pieces, i0, i1, start, c.itemsize)
            if more and stop - start >= SHORT_DEPTH:
                _into(rows, b[start:stop, :], part, not more, fixed, like)  # no literal: one compilation
                for r in range(target.shape[0]):
                    for j in range(target.shape[1]):
                        target[r, j] += room[r, j]
            else:
                _into(rows, b[start:stop, :], target, more, fixed, like)
            more = True


@functools.cache
def _product(dtype: np.dtype, form: np.dtype) -> Callable[..., None]:
    """Return `_multiply` in a format, compiled for any strides, without checks of dtypes and write flags."""
    ready(form)
    compiled, kind = cast("Any", _multiply), types.Array(from_dtype(dtype), 2, "A")
    run = compiled.compile((types.int64[:, ::1], kind, kind, types.boolean, types.intp, from_dtype(form)))
    zero, size = form.type(0), dtype.itemsize

    def product(pieces: Sequence[Array], b: Array, c: Array, accumulate: bool, fixed: int = 0) -> None:
        table = [n for a in pieces for n in (address_of(a), len(a), a.strides[0] // size, a.strides[1] // size)]
        run(np.array(table, np.int64).reshape(-1, 4), b, c, accumulate, fixed, zero)

    return product


def _tasks(
    run: Callable[..., None], pieces: Sequence[Array], b: Array, c: Array, accumulate: bool, parts: int
) -> list[Task]:
    """Split the product into at most `parts` tasks of whole tiles, along the axis that costs less repeated reading."""
    M, N = c.shape
    columns = PANEL_BYTES // c.itemsize
    panels, tiles = -(-N // columns), -(-M // ROWS)
    # Tasks side by side read all of A, tasks below one another all of B; packing costs twice as much as reading.
    again_a = sum([len(a) if a.strides[1] == a.itemsize else 2 * len(a) for a in pieces])
    again_b = N if b.strides[1] == b.itemsize and parts * BAND_ROWS >= M else 2 * N
    if (min(panels, parts), -again_a) >= (min(tiles, parts), -again_b):
        cuts = [slice(columns * i, columns * j) for i, j in split(panels, parts)]
        return [partial(run, pieces, b[:, cut], c[:, cut], accumulate) for cut in cuts]
    ends = [(ROWS * i, min(M, ROWS * j)) for i, j in split(tiles, parts)]
    return [partial(run, _rows_of(pieces, i, j), b, c[i:j], accumulate) for i, j in ends]


def _rows_of(pieces: Sequence[Array], i: int, j: int) -> list[Array]:
    """Return the pieces of the rows from i to j - 1."""
    tops = [0, *itertools.accumulate(map(len, pieces))]
    found = [a[max(i - top, 0) : max(j - top, 0)] for a, top in zip(pieces, tops, strict=False)]
    return [a for a in found if len(a)]


def multiply(
    a: Array | Sequence[Array],
    b: Array,
    c: Array,
    accumulate: bool = False,
    precision: str = "float32",
    largest: float = 0.0,
) -> None:
    """Set ``c = a @ b``, or add to it with `accumulate`, with the same bits for any number of threads.

    Blocks of 1024 products, counted from the end of K, are summed, and the block sums are added, last block first. So a
    sum over time split over several calls, from the end, gives the bits of one call if all calls but the last have a
    multiple of 1024 products. The error is at most about ``(1024 + K / 1024) * eps`` of the sum of the magnitudes.
    The sums of int8 are exact and not split.

    Parameters
    ----------
    a
        ``(M, K)``, of any strides; or several matrices of K columns and together M rows, one below the other, which
        share one packing of `b`: each has the bits of a product of its own.
    b
        ``(K, N)``, of any strides.
    c
        ``(M, N)``, of any strides, no overlap with `a` and `b`. *Changed*. Unless its columns are contiguous, or its
        rows if `a` is one matrix without a fixed scale, the product goes through a copy.
    precision
        ``"float32"``: as the operands are. ``"bfloat16"`` or ``"int8"``: float32 operands are rounded, as
        `operands.py` says; int8 has one scale per row of `a` and per column of `b`.
    largest
        The magnitude in `a` that becomes 127 in int8; 0 stands for the largest of each row.

    Raises
    ------
    ShapeError
        If the shapes differ from these, or int8 sums of K products could overflow.
    DtypeError
        If the arrays are not all float32 or all float64, or not float32 in low precision.
    """
    pieces = [a] if isinstance(a, np.ndarray) else a
    M, K = sum(map(len, pieces)), b.shape[0]
    if not b.ndim == c.ndim == 2 or c.shape != (M, b.shape[1]) or [x for x in pieces if x.shape[1:] != (K,)]:
        raise ShapeError(
            "multiply: expected a (M, K), b (K, N) and c (M, N), got "
            f"{', '.join([str(x.shape) for x in pieces])}, {b.shape} and {c.shape}; the inner sizes must be equal."
        )
    _check_dtypes("multiply", *pieces, b, c)
    form = c.dtype
    if precision != "float32":
        check_narrow("multiply", pieces[0], b, precision)
        form = format_of(precision)
    if config.DISABLE_JIT:
        products = [
            quiet().run(np.matmul, x, b) if form == c.dtype else product_in_numpy(x, b, precision, largest)
            for x in pieces
        ]
        quiet().run(np.add, np.concatenate(products), c if accumulate else 0, out=c)
        return
    if accumulate and precision == "int8":  # its sums are integers until the end
        part = np.empty(c.shape, c.dtype)
        multiply(a, b, part, False, precision, largest)
        c += part
        return
    if b.shape[1] > 1 and c.strides[1] != c.itemsize:
        if largest or len(pieces) > 1 or (M > 1 and c.strides[0] != c.itemsize):  # the scale is that of rows of A
            copy = c.copy("C")
            multiply(a, b, copy, accumulate, precision, largest)
            c[...] = copy
            return
        pieces, b, c = [b.T], pieces[0].T, c.T
    run, fixed = _product(c.dtype, form), bits_of(largest)
    threads = _threads(K, c, precision)
    if threads == 1:
        run(pieces, b, c, accumulate, fixed)
    else:
        run_all(_tasks(partial(run, fixed=fixed), pieces, b, c, accumulate, threads * TASKS_PER_THREAD))


@functools.cache
def _packed_product(dtype: np.dtype, form: np.dtype) -> Callable[..., None]:
    """Return the product of rows and panels compiled for any strides, without checks of dtypes and write flags."""
    ready(form)
    element, zero = from_dtype(dtype), form.type(0)
    a, c = types.Array(element, 2, "A"), types.Array(element, 2, "C")
    if form == dtype:
        run = cast("Any", gemm).compile((a, types.Array(element, 3, "C"), c, types.boolean))
        return lambda a, panels, c, fixed: run(  # noqa: ARG005
            a, panels.view(dtype).reshape(-1, a.shape[1], PANEL_BYTES // c.itemsize), c, False
        )
    narrow = cast("Any", rows_into).compile((a, types.Array(types.uint8, 1, "C"), c, types.intp, from_dtype(form)))
    return lambda a, panels, c, fixed: narrow(a, panels, c, fixed, zero)


def multiply_packed(a: Array, panels: Array, c: Array, precision: str = "float32", largest: float = 0.0) -> None:
    """Set ``c = a @ b`` from ``panels = packed(b, precision)``, with the bits of `multiply`.

    Parameters
    ----------
    a
        ``(M, K)``, of any strides, K up to `SUM_DEPTH`.
    panels
        Bytes, see `narrow.packed`.
    c
        ``(M, N)``, contiguous. *Changed*.
    precision
        That of the panels.
    largest
        As in `multiply`.
    """
    run, fixed = _packed_product(c.dtype, format_of(precision, c.dtype)), bits_of(largest)
    threads = _threads(a.shape[1], c, precision)
    if threads == 1:
        run(a, panels, c, fixed)
        return
    cuts = [slice(ROWS * i, ROWS * j) for i, j in split(-(-len(c) // ROWS), threads * TASKS_PER_THREAD)]
    run_all([partial(run, a[cut], panels, c[cut], fixed) for cut in cuts])


def multiply_kept(
    a: Array,
    b: Array,
    c: Array,
    precision: str = "float32",
    kept: dict[Any, Any] | None = None,
    largest: float = 0.0,
) -> None:
    """Set ``c = a @ b`` as `multiply` does; `kept`, which belongs to the memory of `b`, keeps its panels."""
    if kept is None or config.DISABLE_JIT or a.shape[1] > SUM_DEPTH or _threads(a.shape[1], c, precision) > 1:
        multiply(a, b, c, False, precision, largest)
        return
    check_narrow("multiply", a, b, precision)
    key = precision, b.shape, b.strides
    panels = kept.get(key)
    if panels is None:
        panels = kept[key] = packed(b, precision)
    multiply_packed(a, panels, c, precision, largest)


def _threads(K: int, c: Array, precision: str) -> int:
    return workers(2 * c.size * K * c.itemsize / FLOAT_BYTES_PER_SECOND / SPEED[precision])


# ------------------------------------------------------------------------------------------------ sums of rows


@kernel
def _add_in_order(x: Array, total: Array, start: int, stop: int, flipped: bool) -> None:
    """Add rows start to stop - 1 of `x`, in reverse order if `flipped`, to `total`. *Changed*."""
    for r in range(start, stop):
        row = x[x.shape[0] - 1 - r if flipped else r]
        for g in range(row.size):
            total[g] += row[g]


@kernel
def _add_blocks(x: Array, sums: Array, start: int, stop: int, flipped: bool) -> None:
    """Add block n of `x`, counted from its end, to row n of `sums`. *Changed*: rows start to stop - 1 of `sums`."""
    R = x.shape[0]
    for n in range(start, stop):
        _add_in_order(x, sums[n], max(0, R - (n + 1) * SUM_ROWS), R - n * SUM_ROWS, flipped)


@functools.cache
def _sums(dtype: np.dtype) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return `_add_blocks` and `_add_in_order` compiled for read-only rows too, without dtype checks."""
    blocks, in_order, element = _add_blocks, _add_in_order, from_dtype(dtype)
    rows, sums, total = types.Array(element, 2, "C", readonly=True), element[:, ::1], element[::1]
    if not config.DISABLE_JIT:
        flag = types.boolean
        blocks = blocks.compile((rows, sums, types.intp, types.intp, flag))  # type: ignore[attr-defined]
        in_order = in_order.compile((rows, total, types.intp, types.intp, flag))  # type: ignore[attr-defined]
    return blocks, in_order


def add_rows(x: Array, total: Array) -> None:
    """Add every row of `x` to `total`, with the same bits for any number of threads.

    Blocks of 256 rows, counted from the end, are summed row by row, and the block sums are added to the total, last
    block first. So rows split over several calls, from the end, give the same bits if all calls but the last have a
    multiple of 256 rows. The error is at most ``(256 + R / 256) * eps`` of the sum of the magnitudes.

    Parameters
    ----------
    x
        ``(R, G)``; copied unless contiguous (possibly in reverse row order).
    total
        ``(G,)``, contiguous. *Changed*.

    Raises
    ------
    ShapeError
        If the shapes differ from these, or `total` is not contiguous.
    DtypeError
        If the arrays are not both float32 or both float64.
    """
    if x.ndim != 2 or total.shape != x.shape[1:] or not total.flags.c_contiguous:
        raise ShapeError(
            f"add_rows: expected x (R, G) and a contiguous total (G,), got {x.shape} and {total.shape} with strides "
            f"{total.strides}; pass one total per column."
        )
    _check_dtypes("add_rows", x, total)
    flipped = x.strides[0] < 0
    x = np.ascontiguousarray(x[::-1] if flipped else x)
    add_blocks, add_in_order = _sums(x.dtype)
    sums = np.zeros((-(-x.shape[0] // SUM_ROWS), x.shape[1]), x.dtype)
    threads = workers(x.nbytes / BYTES_PER_SECOND)
    if threads == 1:
        add_blocks(x, sums, 0, len(sums), flipped)
    else:
        cuts = split(len(sums), TASKS_PER_THREAD * threads)
        run_all([partial(add_blocks, x, sums, *cut, flipped) for cut in cuts])
    add_in_order(sums, total, 0, len(sums), False)


def _check_dtypes(name: str, first: Array, *others: Array) -> None:
    dtype = first.dtype
    if dtype not in _DTYPES or [other for other in others if other.dtype != dtype]:
        raise DtypeError(
            f"{name}: expected arrays all of float32 or all of float64, got "
            f"{', '.join([str(array.dtype) for array in (first, *others)])}; cast them."
        )

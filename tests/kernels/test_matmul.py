"""Products and sums of rows: right for any strides, and the same bits for any number of threads and callers."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import config

from tinygrad_seq.errors import DtypeError, ShapeError
from tinygrad_seq.kernels.gemm import matmul as products
from tinygrad_seq.kernels.gemm.matmul import SHORT_DEPTH, SUM_DEPTH, SUM_ROWS, add_rows, multiply
from tinygrad_seq.kernels.gemm.packed import STRIP_ROWS
from tinygrad_seq.kernels.gemm.tile import PANEL_BYTES, ROWS

ROOT = Path(products.__file__).parents[2]
SIZES = st.sampled_from([0, 1, 2, 7, 16, 64, 130])
THREADS = (1, 2, 5)
LAYOUTS: dict[str, Callable[..., np.ndarray]] = {
    "plain": lambda m, n, t: np.empty((m, n), t),
    "transposed": lambda m, n, t: np.empty((n, m), t).T,
    "rows_reversed": lambda m, n, t: np.empty((m, n), t)[::-1],
    "reversed": lambda m, n, t: np.empty((n, m), t).T[::-1, ::-1],
    "every_other_row": lambda m, n, t: np.empty((2 * m, n + 3), t)[::2, 2 : n + 2],
    "every_third": lambda m, n, t: np.empty((2 * m, 3 * n), t)[::2, ::3],
}
LAYOUT = st.sampled_from([*LAYOUTS])
SHAPES = [  # cut along columns, along rows, over several bands and blocks of K, with fewer panels or tiles than parts
    (20, 65, 1300),
    (700, 65, 300),
    (260, 1100, 140),
    (2 * ROWS - 1, 9, 700),
    (500, 9, 3),
    (3, 9, 3),
    (STRIP_ROWS + 100, SUM_DEPTH + SHORT_DEPTH, 5),
]


def matrix(rng, shape, dtype, layout="plain"):
    array = LAYOUTS[layout](*shape, dtype)
    (array if array.base is None else array.base)[...] = np.nan
    array[...] = rng.standard_normal(shape)
    return array


def assert_product(c, a, b, start):
    """Check `c` within the error bound of K products added one by one."""
    a, b, start = (x.astype(np.float64) for x in (a, b, start))
    bound = (a.shape[1] + 2) * np.finfo(c.dtype).eps * (np.abs(a) @ np.abs(b) + np.abs(start))
    assert (np.abs(c - (a @ b + start)) <= bound).all()


@pytest.fixture
def any_work(monkeypatch):
    """Return a setter of the threads, after which any work is worth all of them."""
    monkeypatch.setattr("tinygrad_seq.kernels.pool.SECONDS_PER_THREAD", 1e-12)
    return lambda threads: monkeypatch.setattr("tinygrad_seq.base.settings._threads", threads)


# ------------------------------------------------------------------------------------------------ products


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(
    M=SIZES, K=SIZES, N=SIZES, of_a=LAYOUT, of_b=LAYOUT, of_c=LAYOUT, accumulate=st.booleans(), seed=st.integers(0, 9)
)
def test_products_of_any_shape_and_strides(dtype, M, K, N, of_a, of_b, of_c, accumulate, seed):
    rng = np.random.default_rng(seed)
    a, b, c = (matrix(rng, *x) for x in (((M, K), dtype, of_a), ((K, N), dtype, of_b), ((M, N), dtype, of_c)))
    frame = c if c.base is None else c.base
    outside = np.isnan(frame)
    start = c.copy()
    a.flags.writeable = b.flags.writeable = False
    multiply(a, b, c, accumulate)
    assert_product(c, a, b, start if accumulate else np.zeros_like(start))
    assert (np.isnan(frame) == outside).all()  # nothing outside the target was written


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bits_do_not_depend_on_the_threads(rng, any_work, shape, dtype, accumulate):
    M, K, N = shape
    layouts = [("plain", "plain"), ("transposed", "plain"), ("plain", "transposed"), ("rows_reversed", "every_third")]
    for of_a, of_b in layouts:
        a, b, start = matrix(rng, (M, K), dtype, of_a), matrix(rng, (K, N), dtype, of_b), matrix(rng, (M, N), dtype)
        results = []
        for threads in THREADS:
            for of_c in ("plain", "transposed", "every_third"):
                any_work(threads)
                c = LAYOUTS[of_c](M, N, dtype)
                c[...] = start
                multiply(a, b, c, accumulate)
                results.append(c)
        assert_product(results[0], a, b, start if accumulate else np.zeros_like(start))
        assert all(np.array_equal(result, results[0]) for result in results)


@given(
    M=st.integers(1, 200),
    K=st.integers(1, 40),
    N=st.integers(1, 300),
    of_a=LAYOUT,
    of_b=LAYOUT,
    parts=st.integers(1, 9),
    seed=st.integers(0, 9),
)
def test_tasks_cut_in_whole_tiles_and_cover_the_target(M, K, N, of_a, of_b, parts, seed):
    if config.DISABLE_JIT:
        return
    rng = np.random.default_rng(seed)
    a, b = matrix(rng, (M, K), np.float32, of_a), matrix(rng, (K, N), np.float32, of_b)
    c, expected = np.full((M, N), np.nan, np.float32), np.empty((M, N), np.float32)
    tasks = products._tasks(products._product(c.dtype, c.dtype), [a], b, c, False, parts)
    targets = [task.args[2] for task in tasks if isinstance(task, partial)]
    assert len(targets) == len(tasks)
    assert len(tasks) <= parts
    assert sum(target.size for target in targets) == c.size
    columns = PANEL_BYTES // 4
    assert all(target.shape[0] % ROWS == 0 or target.shape[1] % columns == 0 for target in targets[:-1])
    for task in tasks:
        task()
    multiply(a, b, expected)
    assert np.array_equal(c, expected)


@pytest.mark.parametrize(
    ("dtype", "precision"), [(np.float32, "float32"), (np.float64, "float32"), (np.float32, "bfloat16")]
)
@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize(("heights", "K", "N"), [((13, 0, 90), 40, 70), ((700, 250, 3), 1300, 140), ((5, 6, 7), 9, 3)])
def test_matrices_that_share_an_operand_keep_their_bits(rng, any_work, heights, K, N, accumulate, dtype, precision):
    layouts = ["transposed", "plain", "every_third"]
    pieces = [matrix(rng, (M, K), dtype, of_a) for M, of_a in zip(heights, layouts, strict=True)]
    b, start = matrix(rng, (K, N), dtype), matrix(rng, (sum(heights), N), dtype)
    expected = start.copy()
    for a, c in zip(pieces, np.split(expected, np.cumsum(heights)[:-1]), strict=True):
        multiply(a, b, c, accumulate, precision)
    for threads in THREADS:
        for of_c in ("plain", "transposed", "every_third"):
            any_work(threads)
            c = LAYOUTS[of_c](*start.shape, dtype)
            c[...] = start
            multiply(pieces, b, c, accumulate, precision)
            assert np.array_equal(c, expected)


@pytest.mark.parametrize("rest", [1, SHORT_DEPTH - 1, SHORT_DEPTH, SUM_DEPTH - 1])
@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_sums_in_two_calls_from_the_end_give_the_same_bits(rng, blocks, rest):
    K, cut = 3 * SUM_DEPTH + rest, (3 - blocks) * SUM_DEPTH + rest
    a, b = matrix(rng, (13, K), np.float32, "transposed"), matrix(rng, (K, 70), np.float32)
    whole, parts = np.empty((13, 70), np.float32), np.empty((13, 70), np.float32)
    multiply(a, b, whole)
    multiply(a[:, cut:], b[cut:], parts)
    multiply(a[:, :cut], b[:cut], parts, accumulate=True)
    if config.DISABLE_JIT:
        np.testing.assert_allclose(whole, parts, atol=1e-3)
    else:
        assert np.array_equal(whole, parts)


def test_sums_of_many_products_keep_their_digits(rng):
    a, b = rng.random((5, 100_000), np.float32), rng.random((100_000, 7), np.float32)
    c, exact = np.empty((5, 7), np.float32), a.astype(np.float64) @ b.astype(np.float64)
    multiply(a, b, c)
    np.testing.assert_allclose(c, exact, rtol=1e-6)  # one by one the sum is wrong by 4e-6


def test_several_python_threads_at_once(rng, any_work):
    any_work(3)
    a, b = matrix(rng, (90, 70), np.float32), matrix(rng, (70, 200), np.float32, "transposed")
    expected = np.empty((90, 200), np.float32)
    multiply(a, b, expected)
    equal = [0] * 4

    def call(n):
        for _ in range(50):
            c = np.full((90, 200), np.nan, np.float32)
            multiply(a, b, c)
            equal[n] += np.array_equal(c, expected)

    callers = [threading.Thread(target=call, args=(n,)) for n in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert equal == [50] * 4


def test_infinities_stay_in_their_rows_and_columns(rng):
    a, b = matrix(rng, (7, 5), np.float32), matrix(rng, (5, 130), np.float32)
    a[2, 3] = np.inf
    c = np.empty((7, 130), np.float32)
    multiply(a, b, c)
    assert not np.isfinite(c[2]).any()
    assert np.isfinite(np.delete(c, 2, axis=0)).all()


@pytest.mark.parametrize(
    ("a", "b", "c"),
    [((3, 4), (5, 8), (3, 8)), ((3, 4), (4, 8), (3, 7)), ((3, 4), (4, 8), (2, 8)), ((4,), (4, 8), (1, 8))],
    ids=str,
)
def test_shapes_that_do_not_fit_are_refused(a, b, c):
    with pytest.raises(ShapeError, match=r"multiply: expected .* got .* must be equal"):
        multiply(np.zeros(a), np.zeros(b), np.zeros(c))


@pytest.mark.parametrize("dtypes", [("f4", "f4", "f8"), ("f8", "f4", "f4"), ("f2", "f2", "f2"), (">f4", ">f4", ">f4")])
def test_dtypes_that_do_not_fit_are_refused(dtypes):
    with pytest.raises(DtypeError, match=r"multiply: expected .* got .* cast"):
        multiply(np.zeros((2, 2), dtypes[0]), np.zeros((2, 2), dtypes[1]), np.zeros((2, 2), dtypes[2]))


# ------------------------------------------------------------------------------------------------ sums of rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(
    R=st.sampled_from([0, 1, 5, SUM_ROWS - 1, SUM_ROWS, SUM_ROWS + 1, 3 * SUM_ROWS + 7]),
    G=SIZES,
    layout=LAYOUT,
    seed=st.integers(0, 9),
)
def test_rows_are_added_to_the_total(dtype, R, G, layout, seed):
    rng = np.random.default_rng(seed)
    x, total = matrix(rng, (R, G), dtype, layout), rng.standard_normal(G).astype(dtype)
    x.flags.writeable = False
    expected = total.astype(np.float64) + x.astype(np.float64).sum(axis=0)
    scale = np.abs(total) + np.abs(x.astype(np.float64)).sum(axis=0)
    add_rows(x, total)
    assert (np.abs(total - expected) <= (SUM_ROWS + R / SUM_ROWS + 1) * np.finfo(dtype).eps * scale).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(20, 70), (SUM_ROWS * 5 + 3, 70), (SUM_ROWS * 2, 200)], ids=str)
def test_sums_do_not_depend_on_the_threads(rng, any_work, dtype, shape):
    x, totals = rng.standard_normal(shape).astype(dtype), []
    for threads in THREADS:
        any_work(threads)
        totals.append(np.ones(shape[1], dtype))
        add_rows(x, totals[-1])
    assert all(np.array_equal(total, totals[0]) for total in totals)


@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_rows_in_two_calls_from_the_end_give_the_same_bits(rng, blocks):
    x = rng.standard_normal((SUM_ROWS * 5 + 100, 9)).astype(np.float32)
    whole, parts = np.zeros(9, np.float32), np.zeros(9, np.float32)
    add_rows(x, whole)
    add_rows(x[-blocks * SUM_ROWS :], parts)
    add_rows(x[: -blocks * SUM_ROWS], parts)
    assert np.array_equal(whole, parts)


def test_rows_upside_down_give_the_bits_of_their_copy(rng):
    x = rng.standard_normal((SUM_ROWS * 3 + 100, 9)).astype(np.float32)
    got, want = np.ones(9, np.float32), np.ones(9, np.float32)
    add_rows(x[::-1], got)
    add_rows(x[::-1].copy(), want)
    assert np.array_equal(got, want)


def test_many_rows_keep_their_digits(rng):
    x = rng.random((100_000, 3), np.float32)
    total, exact = np.zeros(3, np.float32), x.astype(np.float64).sum(axis=0)
    add_rows(x, total)
    np.testing.assert_allclose(total, exact, rtol=2e-6)  # one by one the sum is wrong by 1e-5


@pytest.mark.parametrize(("x", "total"), [((3, 4), (3,)), ((3,), ()), ((3, 4), (1, 4)), ((2, 3, 4), (3, 4))], ids=str)
def test_totals_that_do_not_fit_are_refused(x, total):
    with pytest.raises(ShapeError, match=r"add_rows: expected .* got .* one total per column"):
        add_rows(np.zeros(x), np.zeros(total))


def test_a_total_of_other_strides_or_dtype_is_refused():
    with pytest.raises(ShapeError, match="contiguous total"):
        add_rows(np.zeros((3, 4)), np.zeros(8)[::2])
    with pytest.raises(DtypeError, match="add_rows"):
        add_rows(np.zeros((3, 4), np.float32), np.zeros(4))


# ------------------------------------------------------------------------------------------------ processes


CHECK = """
import os
import numpy as np
from tinygrad_seq.kernels import pool
from tinygrad_seq.kernels.gemm.matmul import add_rows, multiply
pool.SECONDS_PER_THREAD = 1e-12
rng = np.random.default_rng(0)
a, b = (rng.standard_normal(s).astype(np.float32) for s in ((90, 70), (70, 200)))

def check():
    for x in (a, np.asfortranarray(a), a[::-1], a[:, ::-1]):
        c, total = np.empty((90, 200), np.float32), np.zeros(70, np.float32)
        multiply(x, b, c)
        add_rows(x, total)
        assert np.allclose(c, x @ b, atol=1e-4) and np.allclose(total, x.sum(axis=0), atol=1e-4)

check()
"""
FORK = """
child = os.fork()
if child == 0:
    check()
    os._exit(7)
check()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def run(script, **settings):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **settings}
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork exists on POSIX only")
def test_a_forked_child_multiplies():
    assert run(CHECK + FORK, TGS_THREADS="3") == ["7"]


def test_without_jit_numpy_multiplies():
    script = CHECK + "from tinygrad_seq.kernels.gemm.matmul import _multiply\nprint(type(_multiply).__name__)"
    assert run(script, NUMBA_DISABLE_JIT="1", TGS_THREADS="3") == ["function"]


def test_layouts_need_one_compilation():
    script = CHECK + "from tinygrad_seq.kernels.gemm.matmul import _multiply\nprint(len(_multiply.signatures))"
    assert run(script, NUMBA_DISABLE_JIT="0", TGS_THREADS="3") == ["1"]

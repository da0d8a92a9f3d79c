"""Matrix products on register tiles, against float64 `np.matmul`: shapes, strides, dtypes, splits, the cache."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import config

from tinygrad_seq.errors import ShapeError
from tinygrad_seq.kernels.gemm import packed as products
from tinygrad_seq.kernels.gemm.packed import gemm, matmul_into, pack
from tinygrad_seq.kernels.gemm.tile import BAND_ROWS, PANEL_BYTES
from tinygrad_seq.kernels.llvm.simd import Registers, registers_of

SIZES = st.sampled_from([2, 5, 7, 16, 33, 64, 130])
LAYOUTS: dict[str, Callable[..., np.ndarray]] = {
    "plain": lambda m, n, t: np.empty((m + 1, n + 1), t)[1:, 1:],
    "transposed": lambda m, n, t: np.empty((n + 1, m + 1), t)[1:, 1:].T,
    "reversed": lambda m, n, t: np.empty((m + 1, n + 1), t)[:0:-1, :0:-1],
    "sliced": lambda m, n, t: np.empty((2 * m, n + 3), t)[::2, 2 : n + 2],
    "every_third": lambda m, n, t: np.empty((m, 3 * n), t)[:, ::3],
}
ROOT = Path(products.__file__).parents[2]


def matrix(rng, shape, dtype, layout="plain"):
    """Return random numbers laid out in one of the ways; its surroundings hold NaN, so reading them is seen."""
    array = LAYOUTS[layout](*shape, dtype)
    (array if array.base is None else array.base)[...] = np.nan
    array[...] = rng.standard_normal(shape)
    return array


def assert_product(c, a, b, start):
    """Check `c` within the error bound of K products added one by one."""
    a, b, start = (x.astype(np.float64) for x in (a, b, start))
    bound = (a.shape[1] + 2) * np.finfo(c.dtype).eps * (np.abs(a) @ np.abs(b) + np.abs(start))
    assert (np.abs(c - (a @ b + start)) <= bound).all()


def check_products(rng, shape, dtype, layouts, accumulate):
    M, K, N = shape
    a, b = matrix(rng, (M, K), dtype, layouts[0]), matrix(rng, (K, N), dtype, layouts[1])
    start, results = rng.standard_normal((M, N)).astype(dtype), []
    for multiply in (lambda c: gemm(a, pack(b), c, accumulate), lambda c: matmul_into(a, b, c, accumulate)):
        frame = np.full((M + 2, N + 5), 7, dtype)
        c = frame[1 : M + 1, 2 : N + 2]
        c[:] = start
        multiply(c)
        assert_product(c, a, b, start if accumulate else np.zeros_like(start))
        results.append(c.copy())
        c[:] = 7
        assert (frame == 7).all()  # nothing outside the target was written
    assert config.DISABLE_JIT or np.array_equal(results[0], results[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(
    M=SIZES,
    K=SIZES,
    N=SIZES,
    of_a=st.sampled_from([*LAYOUTS]),
    of_b=st.sampled_from([*LAYOUTS]),
    accumulate=st.booleans(),
    seed=st.integers(0, 99),
)
def test_products_of_any_shape_and_strides(dtype, M, K, N, of_a, of_b, accumulate, seed):
    check_products(np.random.default_rng(seed), (M, K, N), dtype, (of_a, of_b), accumulate)


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize(
    "shape", [(1, 7, 130), (7, 1, 130), (7, 130, 1), (1, 1, 1), (0, 7, 5), (7, 0, 5), (7, 5, 0), (0, 0, 0)], ids=str
)
def test_products_of_one_or_no_row_or_column(rng, shape, accumulate):
    check_products(rng, shape, np.float32, ("plain", "plain"), accumulate)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "shape", [(3 * BAND_ROWS + 5, 40, 70), (products.STRIP_ROWS + 1, 40, 70), (20, 1100, 70), (150, 600, 1100)]
)
def test_products_of_several_blocks(rng, dtype, shape):
    M, K, N = shape
    a, b = matrix(rng, (M, K), dtype), matrix(rng, (K, N), dtype)
    expected = np.empty((M, N), dtype)
    gemm(a, pack(b), expected, False)
    assert_product(expected, a, b, np.zeros((M, N), dtype))
    for left, right in ((a, b), (a.T.copy().T, b), (a, b.T.copy().T)):
        c = np.full((M, N), np.nan, dtype)
        matmul_into(left, right, c, False)
        assert_product(c, a, b, np.zeros((M, N), dtype))
        assert config.DISABLE_JIT or np.array_equal(c, expected)


@given(cuts=st.sets(st.integers(1, 139), max_size=6), K=st.sampled_from([1, 7, 600]), seed=st.integers(0, 99))
def test_rows_split_in_any_way_give_the_same_bits(cuts, K, seed):
    rng = np.random.default_rng(seed)
    a, b = matrix(rng, (140, K), np.float32), matrix(rng, (K, 130), np.float32)
    panels, whole = pack(b), np.empty((140, 130), np.float32)
    gemm(a, panels, whole, False)
    edges = [0, *sorted(cuts), 140]
    for multiply in (lambda x, c: gemm(x, panels, c, False), lambda x, c: matmul_into(x, b, c, False)):
        parts = np.empty_like(whole)
        for i, j in itertools.pairwise(edges):
            multiply(a[i:j], parts[i:j])
        if config.DISABLE_JIT:
            assert_product(parts, a, b, np.zeros_like(whole))
        else:
            assert np.array_equal(parts, whole)


def test_infinities_stay_in_their_rows_and_columns(rng):
    a, b = matrix(rng, (7, 5), np.float32), matrix(rng, (5, 130), np.float32)
    a[2, 3] = np.inf
    c = np.empty((7, 130), np.float32)
    gemm(a, pack(b), c, False)
    assert not np.isfinite(c[2]).any()
    assert np.isfinite(np.delete(c, 2, axis=0)).all()


def test_panels_lie_on_cache_lines_and_end_in_zeros(rng):
    b = matrix(rng, (9, 130), np.float32)
    panels = pack(b)
    columns = PANEL_BYTES // 4
    assert panels.ctypes.data % products.LINE_BYTES == 0
    flat = panels.transpose(1, 0, 2).reshape(9, -1)
    assert panels.shape == (-(-130 // columns), 9, columns)
    assert np.array_equal(flat[:, :130], b)
    assert not flat[:, 130:].any()


@pytest.mark.parametrize(
    ("a", "c"), [((3, 5), (3, 8)), ((3, 4), (2, 8)), ((3, 4), (3, 900)), ((3, 4), (8, 3))], ids=str
)
def test_shapes_that_do_not_fit_are_refused(a, c):
    a, b, c = np.zeros(a), np.zeros((4, 8)), np.zeros(c)
    c = c.T if c.shape == (8, 3) else c
    with pytest.raises(ShapeError, match="adjacent columns"):
        gemm(a, pack(b), c, False)
    with pytest.raises(ShapeError, match="adjacent columns"):
        matmul_into(a, b, c, False)


@pytest.mark.parametrize(
    ("features", "machine", "expected"),
    [
        ("+sse2,+avx,+avx2,+fma,+avx512f", "x86_64", (32, 64, True)),
        ("+sse2,+avx,+avx2,+fma,-avx512f", "AMD64", (16, 32, True)),
        ("+sse2,+avx,-avx2,-fma", "x86_64", (16, 32, False)),
        ("", "x86_64", (16, 16, False)),
        ("+neon,+fp-armv8", "aarch64", (32, 16, True)),
        ("+neon", "arm64", (32, 16, True)),
    ],
)
def test_registers_follow_the_features(features, machine, expected):
    assert registers_of(features, machine) == Registers(*expected)


CHECK = """
import numpy as np
from tinygrad_seq.kernels.gemm.packed import gemm, matmul_into, pack
from tinygrad_seq.kernels.llvm.simd import REGISTERS

rng = np.random.default_rng(0)
for M, K, N in ((7, 5, 130), (130, 70, 33)):
    a, b, c, d = (rng.standard_normal(s).astype(np.float32) for s in ((M, K), (K, N), (M, N), (M, N)))
    expected = c + a @ b
    gemm(a, pack(b), c, True)
    matmul_into(a, b, d, False)
    assert np.allclose(c, expected, atol=1e-4) and np.allclose(d, a @ b, atol=1e-4)
stats = [getattr(f, "stats", None) for f in (gemm, matmul_into, pack)]
print(REGISTERS.width, "plain" if stats[0] is None else sum(sum(s.cache_misses.values()) for s in stats))
"""


def run(tmp_path, **settings):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path), **settings}
    command = [sys.executable, "-W", "error", "-c", CHECK]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_second_process_compiles_nothing(tmp_path):
    assert int(run(tmp_path, NUMBA_DISABLE_JIT="0")[1]) > 0
    assert run(tmp_path, NUMBA_DISABLE_JIT="0")[1] == "0"


def test_without_jit_numpy_multiplies(tmp_path):
    assert run(tmp_path, NUMBA_DISABLE_JIT="1")[1] == "plain"


def test_a_processor_without_known_vectors_gets_the_portable_tile(tmp_path):
    assert run(tmp_path, NUMBA_DISABLE_JIT="0", NUMBA_CPU_NAME="generic")[0] == "16"

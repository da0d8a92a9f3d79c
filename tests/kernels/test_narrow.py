"""Products in bfloat16 and int8: against NumPy's rounding, in every format, for any strides, splits and threads."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llvmlite import binding
from numba import config, njit

from tinygrad_seq.errors import DtypeError, ShapeError
from tinygrad_seq.kernels.gemm import narrow
from tinygrad_seq.kernels.gemm.formats import formats_of
from tinygrad_seq.kernels.gemm.matmul import SUM_DEPTH, multiply
from tinygrad_seq.kernels.gemm.operands import (
    SMALLEST,
    dequantise,
    from_bfloat16,
    product_in_numpy,
    quantise,
    round_bfloat16,
    to_bfloat16,
)
from tinygrad_seq.kernels.llvm.address import address_of, empty
from tinygrad_seq.kernels.llvm.simd import FEATURES

ROOT = Path(narrow.__file__).parents[3]
FORMATS = {"bfloat16": ("uint32", "uint16"), "int8": ("int32", "int16", "int8")}
PRECISIONS = tuple(FORMATS)
LAYOUTS = {
    "plain": lambda m, n: np.empty((m, n), np.float32),
    "transposed": lambda m, n: np.empty((n, m), np.float32).T,
    "reversed": lambda m, n: np.empty((m, n), np.float32)[::-1, ::-1],
    "every_third": lambda m, n: np.empty((2 * m, 3 * n), np.float32)[::2, ::3],
}
LAYOUT = st.sampled_from([*LAYOUTS])
SIZES = st.sampled_from([0, 1, 2, 3, 7, 16, 33, 64, 130])
compiled = pytest.mark.skipif(config.DISABLE_JIT, reason="NumPy computes")


def runnable():
    """Return (precision, format) for each format whose instruction this processor has."""
    best = dict(zip(PRECISIONS, (kind.name for kind in (narrow.format_of(p) for p in PRECISIONS)), strict=True))
    return [(p, kind) for p, kinds in FORMATS.items() for kind in kinds[kinds.index(best[p]) :]]


@pytest.fixture(scope="module", params=runnable(), ids="-".join)
def form(request):
    """Yield a precision, computed in one of its formats."""
    precision, kind = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(narrow._FORMATS, precision, np.dtype(kind))
        yield precision


def matrix(rng, shape, layout="plain"):
    array = LAYOUTS[layout](*shape)
    (array if array.base is None else array.base)[...] = np.nan
    array[...] = rng.standard_normal(shape)
    return array


def assert_product(c, a, b, precision, start=0):
    """Check that int8 gives the bits of NumPy, and bfloat16 the product of the rounded numbers within K additions."""
    if precision == "int8":
        np.testing.assert_array_equal(c, product_in_numpy(a, b, precision) + np.float32(start))
        return
    a, b = (round_bfloat16(x).astype(np.float64) for x in (a, b))
    bound = (a.shape[1] + 2) * np.finfo(np.float32).eps * (np.abs(a) @ np.abs(b) + np.abs(start)) + 1e-37
    assert (np.abs(c - (a @ b + start)) <= bound).all()


# ------------------------------------------------------------------------------------------------ rounding


def test_bfloat16_rounds_to_nearest_and_ties_to_even():
    step = 2.0**-7  # of bfloat16 at 1
    x = np.array([1, 1 + step / 2, 1 + 3 * step / 2, 1 + step / 2 + 1e-6, -1 - step / 2, 3.4e38], np.float32)
    assert round_bfloat16(x).tolist() == [1, 1, 1 + 2 * step, 1 + step, -1, np.inf]


def test_bfloat16_keeps_what_is_no_number():
    bits = np.array([0x7F800001, 0xFFFFFFFF, 0x7FC00000], np.uint32)
    assert np.isnan(round_bfloat16(bits.view(np.float32))).all()
    assert round_bfloat16(np.array([np.inf, -np.inf, 0.0, -0.0], np.float32)).tolist() == [np.inf, -np.inf, 0, 0]
    assert from_bfloat16(to_bfloat16(np.array([-0.0], np.float32))).view(np.uint32).tolist() == [0x80000000]


def test_int8_scales_are_symmetric_and_per_vector(rng):
    x = rng.standard_normal((5, 40)).astype(np.float32)
    numbers, scale = quantise(x, 1)
    assert numbers.dtype == np.int8
    assert scale.shape == (5, 1)
    assert (np.abs(numbers).max(1) == 127).all()
    assert (np.abs(dequantise(numbers, scale) - x) <= scale / 2 * (1 + 1e-5)).all()


def test_int8_of_zero_tiny_and_infinite_vectors():
    x = np.array([[0, 0], [SMALLEST / 2, 0], [np.nan, 1], [-np.inf, 1]], np.float32)
    numbers, scale = quantise(x, 1)
    assert numbers.tolist() == [[0, 0]] * 4
    assert scale[:2].tolist() == [[0], [0]]
    assert np.isnan(scale[2:]).all()


# ------------------------------------------------------------------------------------------------ products


@given(
    M=SIZES, K=SIZES, N=SIZES, of_a=LAYOUT, of_b=LAYOUT, of_c=LAYOUT, accumulate=st.booleans(), seed=st.integers(0, 9)
)
def test_products_of_any_shape_and_strides(form, M, K, N, of_a, of_b, of_c, accumulate, seed):
    rng = np.random.default_rng(seed)
    a, b, c = (matrix(rng, *x) for x in (((M, K), of_a), ((K, N), of_b), ((M, N), of_c)))
    frame = c if c.base is None else c.base
    outside, start = np.isnan(frame), c.copy()
    a.flags.writeable = b.flags.writeable = False
    multiply(a, b, c, accumulate, form)
    assert_product(c, a, b, form, start if accumulate else 0)
    assert (np.isnan(frame) == outside).all()  # nothing outside the target was written


@pytest.mark.parametrize("shape", [(1, 600, 1300), (800, 40, 70), (20, 2600, 70), (130, 3000, 200)], ids=str)
def test_products_of_several_blocks(rng, form, shape):
    M, K, N = shape
    a, b = matrix(rng, (M, K)), matrix(rng, (K, N))
    results = []
    for left, right in itertools.product((a, a.T.copy().T), (b, b.T.copy().T)):
        c = np.full((M, N), np.nan, np.float32)
        multiply(left, right, c, False, form)
        assert_product(c, a, b, form)
        results.append(c)
    assert config.DISABLE_JIT or all(np.array_equal(c, results[0]) for c in results)


@compiled
@pytest.mark.parametrize("shape", [(20, 65, 1300), (700, 65, 300), (260, 1500, 140), (3, 9, 3)], ids=str)
def test_bits_do_not_depend_on_the_threads(rng, monkeypatch, form, shape):
    monkeypatch.setattr("tinygrad_seq.kernels.pool.SECONDS_PER_THREAD", 1e-12)
    M, K, N = shape
    a, b, results = matrix(rng, (M, K)), matrix(rng, (K, N)), []
    for threads in (1, 2, 5):
        monkeypatch.setattr("tinygrad_seq.base.settings._threads", threads)
        c = np.empty((M, N), np.float32)
        multiply(a, b, c, False, form)
        results.append(c)
    assert all(np.array_equal(c, results[0]) for c in results)


@compiled
@given(cuts=st.sets(st.integers(1, 139), max_size=6), K=st.sampled_from([1, 7, 600]), seed=st.integers(0, 99))
def test_rows_split_in_any_way_give_the_same_bits(form, cuts, K, seed):
    rng = np.random.default_rng(seed)
    a, b = matrix(rng, (140, K)), matrix(rng, (K, 130))
    whole, parts = np.empty((140, 130), np.float32), np.empty((140, 130), np.float32)
    multiply(a, b, whole, False, form)
    for i, j in itertools.pairwise([0, *sorted(cuts), 140]):
        multiply(a[i:j], b, parts[i:j], False, form)
    assert np.array_equal(parts, whole)


@compiled
def test_sums_over_time_in_two_calls_give_the_same_bits(rng):
    K, cut = 2 * SUM_DEPTH + 77, SUM_DEPTH + 77
    a, b = matrix(rng, (13, K), "transposed"), matrix(rng, (K, 70))
    whole, parts = np.empty((13, 70), np.float32), np.empty((13, 70), np.float32)
    multiply(a, b, whole, False, "bfloat16")
    multiply(a[:, cut:], b[cut:], parts, False, "bfloat16")
    multiply(a[:, :cut], b[:cut], parts, True, "bfloat16")
    assert np.array_equal(whole, parts)


@compiled
@pytest.mark.parametrize("shape", [(1, 9, 130), (7, 600, 70), (200, 33, 64)], ids=str)
def test_rows_and_panels_in_generated_kernels(rng, form, shape):
    kind, (M, K, N) = narrow.format_of(form), shape
    narrow.ready(kind)
    a, b, c, whole = matrix(rng, (M, K)), matrix(rng, (K, N)), *(np.empty((M, N), np.float32) for _ in range(2))

    @njit
    def run(a, a_row, a_column, M, K, rows, b, c, N, like):
        narrow.rows_at(a, M, K, a_row, a_column, rows, 0, like)
        narrow.gemm_rows_at(rows, M, K, b, c, N, N, like)

    multiply(a, b, whole, False, form)
    panels = narrow.packed(b, form)
    assert panels.nbytes == narrow.panels_nbytes(K, N, form)
    for x in (a, a.T.copy().T):
        rows = empty((narrow.rows_nbytes(M, K, form),), np.dtype(np.uint8))
        steps = [stride // 4 for stride in x.strides]
        run(address_of(x), *steps, M, K, address_of(rows), address_of(panels), address_of(c), N, kind.type(0))
        assert np.array_equal(c, whole)


@pytest.mark.parametrize("shape", [(3, 40, 70), (700, 65, 70)], ids=str)
def test_a_fixed_scale_of_rows(rng, form, shape):
    """Larger magnitudes become the largest, what is no number stays so; other precisions have no scale."""
    (M, K, N), largest = shape, 1.5
    a, b, c = matrix(rng, (M, K)), matrix(rng, (K, N)), np.empty((M, N), np.float32)
    a[0, 0], a[1, 1] = np.nan, np.inf
    multiply(a, b, c, False, form, largest)
    if form != "int8":
        multiply(a, b, plain := np.empty_like(c), False, form)
        np.testing.assert_array_equal(c, plain)
        return
    np.testing.assert_array_equal(c, product_in_numpy(a, b, form, largest))
    multiply(a, b, columns := np.empty((N, M), np.float32).T, False, form, largest)
    np.testing.assert_array_equal(columns, c)
    assert np.isnan(c[:2]).all()
    numbers, scale = quantise(np.clip(a[2:], -largest, largest), 1, largest)
    np.testing.assert_array_equal(scale, np.full((M - 2, 1), np.float32(largest) / np.float32(127)))
    np.testing.assert_array_equal(numbers, quantise(a[2:], 1, largest)[0])
    np.testing.assert_allclose(c[2:], dequantise(numbers, scale) @ dequantise(*quantise(b, 0)), atol=1e-4)


def test_nan_and_infinity_do_not_become_numbers(rng, form):
    a, b, c = matrix(rng, (7, 5)), matrix(rng, (5, 130)), np.empty((7, 130), np.float32)
    a[2, 3], a[4, 0], b[1, 100] = np.nan, np.inf, np.nan
    multiply(a, b, c, False, form)
    assert np.isnan(c[2]).all()
    assert not np.isfinite(c[4]).any()
    assert np.isnan(c[:, 100]).all()
    rest = np.delete(np.delete(c, [2, 4], axis=0), 100, axis=1)
    assert np.isfinite(rest).all()


@pytest.mark.parametrize("bits", [0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF])
def test_nan_of_any_bits_stays_nan(rng, form, bits):
    a, b, c = matrix(rng, (3, 40)), matrix(rng, (40, 70)), np.empty((3, 70), np.float32)
    a[1, 3] = b[33, 2] = np.uint32(bits).view(np.float32)
    multiply(a, b, c, False, form)
    assert np.isnan(c[1]).all()
    assert np.isnan(c[:, 2]).all()
    assert np.isnan(c).sum() == 72


def test_zero_rows_and_columns(rng, form):
    a, b, c = matrix(rng, (3, 5)), matrix(rng, (5, 70)), np.empty((3, 70), np.float32)
    a[1], b[:, 2] = 0, 0
    multiply(a, b, c, False, form)
    assert not c[1].any()
    assert not c[:, 2].any()


@compiled
def test_largest_sums_of_int8_do_not_saturate(form):
    K = narrow.LARGEST_DEPTH if form == "int8" else 500
    a, b, c = np.ones((2, K), np.float32), np.ones((K, 3), np.float32), np.empty((2, 3), np.float32)
    a[1] = -1
    multiply(a, b, c, False, form)
    np.testing.assert_allclose(c, [[K] * 3, [-K] * 3], rtol=1e-6)


def test_what_low_precision_refuses():
    x, y = np.ones((2, 3)), np.ones((3, 2))
    with pytest.raises(DtypeError, match="expected float32 operands of a product in int8, got float64"):
        multiply(x, y, np.empty((2, 2)), False, "int8")
    K = narrow.LARGEST_DEPTH + 1
    a, b = np.ones((1, K), np.float32), np.ones((K, 1), np.float32)
    with pytest.raises(ShapeError, match="whose sums fit into 32 bits"):
        multiply(a, b, np.empty((1, 1), np.float32), False, "int8")


# ------------------------------------------------------------------------------------------------ processors


@pytest.mark.parametrize(
    ("features", "machine", "expected"),
    [
        ("+avx,+avx2,+avx512f,+avx512bw,+avx512vnni,+avx512bf16", "x86_64", ("uint32", "int32")),
        ("+avx,+avx2,+avx512f,+avx512bw", "x86_64", ("uint16", "int16")),
        ("+avx,+avx2,+avx512f", "x86_64", ("uint16", "int8")),
        ("+avx,+avx2,+avxvnni", "AMD64", ("uint16", "int32")),
        ("+avx,+avx2,+fma", "x86_64", ("uint16", "int16")),
        ("+avx", "x86_64", ("uint16", "int8")),
        ("", "x86_64", ("uint16", "int16")),
        ("+neon,+dotprod", "aarch64", ("uint16", "int32")),
        ("+neon", "arm64", ("uint16", "int8")),
        ("", "riscv64", ("uint16", "int8")),
    ],
)
def test_formats_follow_the_features(features, machine, expected):
    assert tuple(kind.name for kind in formats_of(features, machine)) == expected


CHECK = """
import numpy as np
from tinygrad_seq.kernels.gemm.operands import product_in_numpy
from tinygrad_seq.kernels.gemm.formats import BFLOAT16, INT8
from tinygrad_seq.kernels.gemm.matmul import multiply

rng = np.random.default_rng(0)
for M, K, N in ((1, 70, 130), (7, 5, 130), (130, 70, 33)):
    a, b, c = (rng.standard_normal(s).astype(np.float32) for s in ((M, K), (K, N), (M, N)))
    multiply(a, b, c, False, "int8")
    assert np.array_equal(c, product_in_numpy(a, b, "int8"))
    multiply(a, b, c, False, "bfloat16")
    assert np.allclose(c, product_in_numpy(a, b, "bfloat16"), atol=1e-4)
print(BFLOAT16, INT8)
"""


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"NUMBA_CPU_NAME": "generic"}, "uint16 int16"),
        ({"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+sse2,+avx,+avx2,+fma"}, "uint16 int16"),
        ({"NUMBA_DISABLE_JIT": "1"}, None),
    ],
)
def test_other_processors(tmp_path, settings, expected):
    wanted = settings.get("NUMBA_CPU_FEATURES", "").split(",")
    if not {*wanted, ""} <= {*FEATURES.split(","), ""}:
        pytest.skip("this processor lacks the instructions")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_DISABLE_JIT": "0"}
    command = [sys.executable, "-W", "error", "-c", CHECK]
    done = subprocess.run(command, env={**environment, **settings}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert expected is None or done.stdout.strip() == expected


TILE = """
import platform, sys
from llvmlite import binding, ir
from numba import types

triple, features, wanted = sys.argv[1:]
platform.machine = lambda: triple.split("-")[0]
from tinygrad_seq.kernels.gemm import formats, tile

kinds = {"float32": types.float32, **{str(k): getattr(types, str(k)) for k in (formats.BFLOAT16, formats.INT8)}}
for name, kind in kinds.items():
    for rows, vectors in ((1, 2 * tile.VECTORS), (2, tile.VECTORS), (tile.ROWS, tile.VECTORS), (tile.ROWS, 1)):
        number, module = ir.IntType(64), ir.Module()
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [number] * len(tile.Operands._fields)), "tile")
        builder = ir.IRBuilder(function.append_basic_block())
        at, address = tile.Operands(*function.args), ir.IntType(8).as_pointer()
        at = at._replace(**{x: builder.inttoptr(getattr(at, x), address) for x in "abc"})
        at = at._replace(accumulate=builder.trunc(at.accumulate, ir.IntType(1)))
        tile._write_tile(formats.FORMATS[kind](builder, kind), at, rows, vectors)
        builder.ret_void()
        module.triple = triple
        binding.initialize_all_targets()
        binding.initialize_all_asmprinters()
        parsed = binding.parse_assembly(str(module))
        parsed.verify()
        machine = binding.Target.from_triple(triple).create_target_machine(features=features, opt=2)
        text = machine.emit_assembly(parsed)
        assert name == "float32" or any(x in text for x in wanted.split(",")), (name, rows, vectors, text)
"""


X86, ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"


@pytest.mark.parametrize(
    ("triple", "features", "instructions"),
    [
        (
            "x86_64-unknown-linux-gnu",
            "+avx,+avx2,+fma,+avx512f,+avx512bw,+avx512vnni,+avx512bf16",
            "vdpbf16ps,vpdpbusd",
        ),
        (X86, "+avx,+avx2,+fma,+avx512f,+avx512bw", "vpmovzxwd,vpmaddwd"),
        (X86, "+avx,+avx2,+fma,+avx512f", "vpmovzxwd,vpmulld"),
        (X86, "+avx,+avx2,+fma,+avxvnni", "vpmovzxwd,vpdpbusd"),
        (X86, "+avx,+avx2,+fma", "vpmovzxwd,vpmaddwd"),
        (X86, "+sse2", "punpcklwd,pmaddwd"),
        (ARM, "+neon,+dotprod", "shll,sdot"),
        (ARM, "+neon", "shll,mla"),
    ],
)
def test_tiles_of_all_processors_compile(triple, features, instructions):
    try:
        binding.initialize_all_targets()
        binding.Target.from_triple(triple)
    except RuntimeError:
        pytest.skip("this LLVM cannot compile for it")
    settings = {"PYTHONPATH": str(ROOT), "NUMBA_DISABLE_JIT": "1", "NUMBA_CPU_FEATURES": features}
    command = [sys.executable, "-c", TILE, triple, features, instructions]
    done = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""Generated kernels: compiled once, found again, and no state of the cache changes a result or runs foreign code."""

from __future__ import annotations

import gc
import linecache
import os
import pickle
import stat
import subprocess
import sys
import tempfile
import threading
import warnings
import weakref
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tinygrad_seq.base import cache_folder
from tinygrad_seq.base.memo import Memo
from tinygrad_seq.errors import ArgumentError
from tinygrad_seq.kernels.compile import generated

ROOT = Path(generated.__file__).parents[2]
SIGNATURE = "void(float64[::1], float64)"
SOURCE = """
def run(x, factor):
    for i in range(x.size):
        x[i] *= factor
"""


class Loaded(NamedTuple):
    result: list[float]
    compilations: int
    warnings: list[str]


@pytest.fixture
def load_anew(monkeypatch):
    """Return a function that loads and runs a kernel as a new process would."""

    def load(*sources: str) -> Loaded:
        monkeypatch.setattr(generated, "_loaded", Memo(100))
        monkeypatch.setattr(cache_folder, "_warned", False)
        before = generated.compilations()
        x = np.array([1.0, 2.0])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for source in sources or [SOURCE]:
                generated.load(source, "run", SIGNATURE)(x, 3.0)
        return Loaded(x.tolist(), generated.compilations() - before, [str(warning.message) for warning in caught])

    return load


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr("numba.config.DISABLE_JIT", 0)
    monkeypatch.setenv("TGS_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def only(folder: Path, ending: str) -> Path:
    (path,) = folder.glob(f"*.{ending}")
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ------------------------------------------------------------------------------------------------------ one process


def test_one_source_is_one_kernel(folder) -> None:
    before = generated.compilations()
    kernel = generated.load(SOURCE, "run", SIGNATURE)
    assert generated.load(SOURCE, "run", SIGNATURE) is kernel
    assert generated.compilations() == before + 1
    single = generated.load(SOURCE, "run", "void(float32[::1], float32)")
    x = np.ones(3, np.float32)
    single(x, np.float32(2))
    assert x.tolist() == [2, 2, 2]
    assert generated.compilations() == before + 2
    with pytest.raises(TypeError):
        single(np.ones((3, 3)), 2.0)
    compiled: Any = kernel
    assert compiled.targetoptions["nogil"]


def test_threads_that_ask_at_once_compile_once(folder, monkeypatch) -> None:
    monkeypatch.setattr(generated, "_loaded", Memo(100))
    before, found, start = generated.compilations(), [], threading.Barrier(3)

    def ask() -> None:
        start.wait()
        found.append(generated.load(SOURCE, "run", SIGNATURE))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert len(set(map(id, found))) == 1
    assert generated.compilations() == before + 1


def test_the_source_is_there_for_tracebacks(folder, load_anew) -> None:
    load_anew()
    name = str(only(folder, "py"))
    only(folder, "py").write_text("raise SystemExit")
    linecache.checkcache(name)
    assert "".join(linecache.getlines(name)) == SOURCE


def test_what_is_not_used_any_more_leaves_no_trace(folder, monkeypatch) -> None:
    monkeypatch.setattr(generated, "_loaded", Memo(2))
    modules, texts = set(sys.modules), set(linecache.cache)
    sources = [f"{SOURCE}# {number}\n" for number in range(8)]
    kernels = [weakref.ref(generated.load(source, "run", SIGNATURE)) for source in sources]
    gc.collect()
    assert set(sys.modules) == modules
    assert len(generated._loaded) <= 5
    assert sum(kernel() is not None for kernel in kernels) <= 5
    assert len(set(linecache.cache) - texts) <= 5


def test_a_source_that_does_not_compile_names_its_line(folder) -> None:
    with pytest.raises(Exception, match=r"x\.no_such_thing"):
        generated.load("def run(x, factor):\n    x.no_such_thing\n", "run", SIGNATURE)
    assert [path.suffix for path in folder.iterdir()] == [".py"]


def test_bounds_are_checked_when_numba_is_told_to(folder, monkeypatch) -> None:
    source = SOURCE.replace("x.size", "x.size + 1")
    unchecked = generated._key(source, "run", SIGNATURE)
    monkeypatch.setattr("numba.config.BOUNDSCHECK", 1)
    assert generated._key(source, "run", SIGNATURE) != unchecked
    with pytest.raises(IndexError):
        generated.load(source, "run", SIGNATURE)(np.ones(3), 2.0)


@pytest.mark.parametrize("part", ["kernel_sources", "compiler_settings"])
def test_the_key_holds_all_the_code_depends_on(monkeypatch, part: str) -> None:
    generated._environment.cache_clear()
    key = generated._key(SOURCE, "run", SIGNATURE)
    assert key == generated._key(SOURCE, "run", SIGNATURE)
    monkeypatch.setattr(generated, part, lambda: b"another")
    generated._environment.cache_clear()
    assert key != generated._key(SOURCE, "run", SIGNATURE)
    monkeypatch.undo()
    generated._environment.cache_clear()
    others = [
        (SOURCE + "#", "run", SIGNATURE),
        (SOURCE, "walk", SIGNATURE),
        (SOURCE, "run", "void(float64[:], float64)"),
    ]
    assert len({key, *(generated._key(*other) for other in others)}) == 4


def test_without_the_jit_there_is_nothing_to_load(monkeypatch) -> None:
    monkeypatch.setattr("numba.config.DISABLE_JIT", 1)
    with pytest.raises(ArgumentError, match="NUMBA_DISABLE_JIT=1"):
        generated.load(SOURCE, "run", SIGNATURE)


# ------------------------------------------------------------------------------------------------------- the folder


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TGS_CACHE_DIR": "/a/b", "XDG_CACHE_HOME": "/c"}, "/a/b"),
        ({"TGS_CACHE_DIR": "~/b"}, "/h/b"),
        ({"TGS_CACHE_DIR": "", "XDG_CACHE_HOME": "/c"}, "/c/tinygrad_seq"),
        ({"XDG_CACHE_HOME": "relative"}, "/h/.cache/tinygrad_seq"),
        ({}, "/h/.cache/tinygrad_seq"),
    ],
)
def test_the_folder_is_where_users_expect_it(monkeypatch, environment: dict[str, str], expected: str) -> None:
    for name in ("TGS_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (environment | {"HOME": "/h"}).items():
        monkeypatch.setenv(name, value)
    assert cache_folder.locate() == Path(expected)


def test_found_on_disk_it_is_not_compiled(folder, load_anew) -> None:
    assert load_anew() == ([3.0, 6.0], 1, [])
    assert load_anew() == ([3.0, 6.0], 0, [])
    assert only(folder, "py").read_text() == SOURCE
    assert mode(folder) == 0o700
    assert {mode(path) for path in folder.iterdir()} == {0o600}
    assert len(list(folder.iterdir())) == 2


class Evil:
    def __reduce__(self):
        return os.abort, ()


def truncated(kept: int):
    return lambda content: content[:kept]


def flipped(content: bytes) -> bytes:
    return content[:100] + bytes([content[100] ^ 1]) + content[101:]


@pytest.mark.parametrize(
    "damage",
    [truncated(0), truncated(20), truncated(32), truncated(-1), flipped, lambda _: pickle.dumps(Evil()),
     lambda content: content[:32] + pickle.dumps(Evil())],
)  # fmt: skip
def test_damaged_code_is_never_unpickled_and_made_again(folder, load_anew, damage) -> None:
    load_anew()
    code = only(folder, "code")
    code.write_bytes(damage(code.read_bytes()))
    result, compilations, (warning,) = load_anew()
    assert (result, compilations) == ([3.0, 6.0], 1)
    assert "not as it was written" in warning
    assert load_anew() == ([3.0, 6.0], 0, [])


def test_the_code_of_one_kernel_is_no_code_of_another(folder, load_anew) -> None:
    load_anew()
    first = only(folder, "code")
    other = SOURCE.replace("*=", "-=")
    load_anew(other)
    (second,) = set(folder.glob("*.code")) - {first}
    second.write_bytes(first.read_bytes())
    result, compilations, (_,) = load_anew(other)
    assert (result, compilations) == ([-2.0, -1.0], 1)


def test_a_pickle_that_fails_is_made_again(folder, load_anew, monkeypatch) -> None:
    load_anew()
    code = only(folder, "code")
    store = generated._Store(code)
    code.write_bytes(store._digest(b"no pickle") + b"no pickle")
    result, compilations, (_,) = load_anew()
    assert (result, compilations) == ([3.0, 6.0], 1)


@pytest.mark.parametrize("text", ["", "import os\nos.abort()\n", SOURCE.replace("*=", "+=")])
def test_source_on_disk_is_shown_and_never_executed(folder, load_anew, text: str) -> None:
    load_anew()
    source = only(folder, "py")
    source.write_text(text)
    result, compilations, (warning,) = load_anew()
    assert (result, compilations) == ([3.0, 6.0], 0)
    assert "not as it was written" in warning
    assert source.read_text() == SOURCE


# --------------------------------------------------------------------------------------------- folders not to be used


@pytest.mark.parametrize("rights", [0o777, 0o770, 0o720])
def test_a_folder_that_others_can_write_is_refused(folder, load_anew, rights: int) -> None:
    load_anew()
    code = only(folder, "code")
    code.write_bytes(pickle.dumps(Evil()))
    folder.chmod(rights)
    result, compilations, (warning,) = load_anew(SOURCE, SOURCE.replace("*=", "+="))
    assert (result, compilations) == ([6.0, 9.0], 2)
    assert f"mode {rights:04o}" in warning
    assert code.read_bytes() == pickle.dumps(Evil())
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("ending", ["py", "code"])
def test_a_file_that_others_can_write_is_refused_and_replaced(folder, load_anew, ending: str) -> None:
    load_anew()
    only(folder, ending).chmod(0o666)
    result, _, (warning,) = load_anew()
    assert result == [3.0, 6.0]
    assert "mode 0666" in warning
    assert load_anew() == ([3.0, 6.0], 0, [])


@pytest.mark.parametrize(
    ("owner", "rights", "refused"),
    [(1001, 0o700, False), (1001, 0o755, False), (0, 0o755, False), (1002, 0o700, True), (1001, 0o775, True)],
)
def test_whom_a_file_is_trusted_from(monkeypatch, owner: int, rights: int, refused: bool) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1001)
    status = os.stat_result((stat.S_IFREG | rights, 0, 0, 1, owner, 0, 0, 0, 0, 0))
    if refused:
        with pytest.raises(PermissionError):
            cache_folder.check(Path("x"), status)
    else:
        cache_folder.check(Path("x"), status)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(30, "Read-only file system")])
def test_where_nothing_can_be_written_kernels_live_in_memory(folder, load_anew, monkeypatch, error) -> None:
    def fail(*_):
        raise error

    monkeypatch.setattr(os, "replace", fail)
    for _ in range(2):
        result, compilations, (warning,) = load_anew(SOURCE, SOURCE.replace("*=", "+="))
        assert (result, compilations) == ([6.0, 9.0], 2)
        assert error.strerror in warning
        assert list(folder.iterdir()) == []  # no temporary files either


def test_a_read_only_folder_still_serves_what_it_holds(folder, load_anew, monkeypatch) -> None:
    load_anew()

    def fail(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "mkstemp", fail)
    assert load_anew() == ([3.0, 6.0], 0, [])
    only(folder, "py").unlink()
    assert load_anew()[:2] == ([3.0, 6.0], 0)


def test_a_folder_that_cannot_be_made(tmp_path, folder, load_anew, monkeypatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("TGS_CACHE_DIR", str(tmp_path / "file" / "cache"))
    result, compilations, (_,) = load_anew(SOURCE, SOURCE.replace("*=", "+="))
    assert (result, compilations) == ([6.0, 9.0], 2)


def test_a_user_without_a_home(folder, load_anew, monkeypatch) -> None:
    def homeless(*_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("TGS_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    result, compilations, (warning,) = load_anew()
    assert (result, compilations) == ([3.0, 6.0], 1)
    assert "home folder" in warning


# -------------------------------------------------------------------------------------------------- several processes

PROGRAM = '''
import numpy as np
from tinygrad_seq.kernels.gemm.packed import pack
from tinygrad_seq.kernels.compile.generated import compilations, load
SOURCE = """
import numpy as np
from tinygrad_seq.kernels.llvm.address import matrix, panels, vector
from tinygrad_seq.kernels.gemm.packed import gemm
from tinygrad_seq.kernels.scalar import sigmoid, tanh

def run(addresses, sizes, first, last):
    H = sizes[1]
    zero = np.float32(0)
    one = np.uint64(1)
    packed = panels(addresses[1], sizes[2], H, sizes[3], zero)
    slab = last * H * np.uint64(4)
    for t in range(sizes[0] - one):
        now = addresses[0] + t * slab
        gemm(matrix(now, last, H, H, one, zero), packed, matrix(now + slab, last, H, H, one, zero), True)
        row = vector(now, last * H, zero)
        for j in range(last * H):
            row[j] = sigmoid(row[j]) * tanh(row[j])
"""
run = load(SOURCE, "run", "void(uint64[::1], uint64[::1], uint64, uint64)")
rng = np.random.default_rng(0)
x, w = rng.normal(size=(5, 3, 17)).astype("f4"), rng.normal(size=(17, 17)).astype("f4")
w = pack(w)
run(np.array([x.ctypes.data, w.ctypes.data], "u8"), np.array([5, 17, w.shape[0], w.shape[2]], "u8"), 0, 3)
print(x.tobytes().hex(), compilations())
'''


@pytest.fixture
def start(tmp_path):
    def start_process(**settings: str) -> subprocess.Popen:
        environment = os.environ | {
            "TGS_CACHE_DIR": str(tmp_path / "cache"),
            "NUMBA_CACHE_DIR": str(tmp_path / "numba"),
        }
        environment |= {"PYTHONPATH": str(ROOT), "NUMBA_DISABLE_JIT": "0"} | settings
        command = [sys.executable, "-W", "error", "-c", PROGRAM]
        return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    return start_process


def finish(process: subprocess.Popen) -> tuple[str, int]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    result, compilations = out.split()
    return result, int(compilations)


def test_processes_that_compile_at_once_agree_and_a_later_one_compiles_nothing(start) -> None:
    results = [finish(process) for process in [start(), start()]]
    assert len({result for result, _ in results}) == 1
    assert finish(start()) == (results[0][0], 0)

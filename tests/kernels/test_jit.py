"""The decorator: what is cached is found again, and no damage to the cache reaches the caller."""

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from tinygrad_seq.kernels import jit

SOURCE = """
from tinygrad_seq.kernels.jit import kernel

@kernel
def double(x):
    return x * 2

@kernel
def quadruple(x):
    return double(double(x))

if __name__ == "__main__":
    result = quadruple(3.0)
    stats = getattr(quadruple, "stats", None)
    print(result, "plain" if stats is None else "found" if stats.cache_hits else "compiled")
"""


@pytest.fixture
def run(tmp_path):
    """Run SOURCE in a new process; return what it printed and how often it warned."""
    script = tmp_path / "script.py"
    script.write_text(SOURCE, encoding="utf-8")
    root = Path(jit.__file__).parents[2]

    def run_once(**settings):
        defaults = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "NUMBA_DISABLE_JIT": "0", "PYTHONPATH": str(root)}
        environment = {**os.environ, **defaults, **settings}
        done = subprocess.run(
            [sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip(), done.stderr.count("RuntimeWarning: tinygrad_seq")

    return run_once


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("kept", [0, 30])
def test_a_truncated_cache_is_replaced_with_one_warning(run, tmp_path, ending, kept):
    assert run() == ("12.0 compiled", 0)
    assert run() == ("12.0 found", 0)
    (damaged,) = tmp_path.glob(f"cache/**/*quadruple*.{ending}")
    damaged.write_bytes(damaged.read_bytes()[:kept])
    assert run() == ("12.0 compiled", 1)
    assert run() == ("12.0 found", 0)


def test_a_cache_of_garbage_is_replaced(run, tmp_path):
    run()
    for damaged in tmp_path.glob("cache/**/*.nb?"):
        damaged.write_bytes(b"\x80\x05not a pickle")
    result, warned = run()
    assert (result, warned >= 1) == ("12.0 compiled", True)
    assert run() == ("12.0 found", 0)


MARK = """
import os, sys
class Mark:
    def __reduce__(self):
        return os.mkdir, (sys.argv[1],)
import pickle
for path in sys.argv[2:]:
    open(path, "wb").write(pickle.dumps(Mark()))
"""


def plant(tmp_path, files):
    """Replace `files` by pickles that make a folder, and return the path of that folder."""
    subprocess.run([sys.executable, "-c", MARK, tmp_path / "ran", *files], check=True)
    return tmp_path / "ran"


def kernels_in(folder):
    return {path.name for path in folder.rglob("*.nb?")}


@pytest.mark.parametrize("which", ["the folder", "the folder of the file", "the file"])
def test_a_folder_or_file_that_others_can_write_is_never_read(run, tmp_path, which):
    ours = tmp_path / "ours"
    run(TGS_CACHE_DIR=str(ours))
    (index,) = tmp_path.glob("cache/**/*quadruple*.nbi")
    ran = plant(tmp_path, tmp_path.glob("cache/**/*.nb?"))
    {"the folder": tmp_path / "cache", "the folder of the file": index.parent, "the file": index}[which].chmod(0o777)
    for path in tmp_path.glob("cache/**/*.nb?"):
        if which == "the file":
            path.chmod(0o666)
    result, warned = run(TGS_CACHE_DIR=str(ours))
    assert (result, warned >= 1) == ("12.0 compiled", True)
    assert not ran.exists()
    if which == "the file":
        assert run(TGS_CACHE_DIR=str(ours)) == ("12.0 found", 0)
    else:  # the kernels are stored elsewhere
        assert run(TGS_CACHE_DIR=str(ours)) == ("12.0 found", 1)
    assert not ran.exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to give files away")
@pytest.mark.parametrize("which", ["folder", "file"])
def test_a_folder_or_file_of_another_user_is_never_read(run, tmp_path, which):
    run()
    ran = plant(tmp_path, tmp_path.glob("cache/**/*.nb?"))
    for path in [tmp_path / "cache"] if which == "folder" else tmp_path.glob("cache/**/*.nb?"):
        os.chown(path, 12345, 12345)
    result, warned = run(TGS_CACHE_DIR=str(tmp_path / "ours"))
    assert (result, warned >= 1) == ("12.0 compiled", True)
    assert not ran.exists()


def test_a_pycache_that_others_can_write_is_left_alone(run, tmp_path):
    ours = tmp_path / "ours"
    run(NUMBA_CACHE_DIR="", TGS_CACHE_DIR=str(ours))
    pycache = tmp_path / "__pycache__"
    assert len(kernels_in(pycache)) == 4
    ran = plant(tmp_path, pycache.glob("*.nb?"))
    pycache.chmod(0o775)
    assert run(NUMBA_CACHE_DIR="", TGS_CACHE_DIR=str(ours)) == ("12.0 compiled", 0)
    assert run(NUMBA_CACHE_DIR="", TGS_CACHE_DIR=str(ours)) == ("12.0 found", 0)
    assert len(kernels_in(ours)) == 4
    assert not ran.exists()
    ours.chmod(0o777)  # now there is no folder left
    assert run(NUMBA_CACHE_DIR="", TGS_CACHE_DIR=str(ours)) == ("12.0 compiled", 1)


def test_a_umask_that_lets_the_group_write_does_not_matter(run):
    before = os.umask(0o002)
    try:
        assert run() == ("12.0 compiled", 0)
        assert run() == ("12.0 found", 0)
    finally:
        os.umask(before)


def test_where_nothing_can_be_cached_it_compiles_every_time(run):
    # Zip archives are the only place this locator finds functions in.
    for _ in range(2):
        assert run(NUMBA_CACHE_LOCATOR_CLASSES="ZipCacheLocator") == ("12.0 compiled", 0)


def test_without_jit_the_plain_function_comes_back(run):
    assert run(NUMBA_DISABLE_JIT="1") == ("12.0 plain", 0)


@pytest.fixture
def cached_kernel(tmp_path, monkeypatch):
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("numba.config.DISABLE_JIT", 0)

    @jit.kernel
    def triple(x):
        return x * 3

    return triple


def test_a_cache_folder_that_breaks_later_is_given_up_with_one_warning(cached_kernel, tmp_path):
    assert cached_kernel(2.0) == 6.0
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "cache").write_text("a file where the folder was", encoding="utf-8")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert cached_kernel(np.float32(2)) == 6
        assert cached_kernel(2) == 6
    assert len(caught) == 1
    assert "Delete the folder" in str(caught[0].message)


def test_a_full_disk_costs_a_warning_and_not_the_result(cached_kernel, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", full)
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        assert cached_kernel(2.0) == 6.0


def test_any_change_to_a_kernel_file_gives_the_cache_another_name(cached_kernel, monkeypatch):
    before = jit._HealingCache(cached_kernel.py_func)._cache_file._index_name
    assert jit._HealingCache(cached_kernel.py_func)._cache_file._index_name == before
    monkeypatch.setattr(jit, "kernel_sources", lambda: b"one byte more")
    assert jit._HealingCache(cached_kernel.py_func)._cache_file._index_name != before


def test_kernels_release_the_gil_and_follow_numpy_on_division(cached_kernel):
    @jit.kernel
    def divide(x, y):
        return x / y

    assert divide(1.0, 0.0) == np.inf
    assert cached_kernel.targetoptions["nogil"]


def test_importing_the_package_compiles_nothing():
    code = (
        "import numba, tinygrad_seq.kernels.update as u, tinygrad_seq.kernels.scatter as i; "
        "d = [f for m in (u, i) for f in vars(m).values() if isinstance(f, numba.core.dispatcher.Dispatcher)]; "
        "assert len(d) > 6 and not any(f.signatures for f in d), d"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(jit.__file__).parents[2]), "NUMBA_DISABLE_JIT": "0"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)

"""Settings of every test and docstring example: one BLAS thread, hypothesis profiles, a fixed seed."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile

# BLAS reads these once, when NumPy is first imported.
for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

# A shell that starts the tests in the background, or nohup, has them ignore the signals that some tests send.
for _name, _handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    if signal.getsignal(_number := getattr(signal, _name, signal.SIGINT)) is signal.SIG_IGN:
        signal.signal(_number, _handler)

# Each pass of the scan compiler checks what it has made.
os.environ.setdefault("TGS_CHECK", "1")

# Decisions on threads do not depend on how busy the machine is.
os.environ.setdefault("TGS_MACHINE", "typical")

# Compiled cells of the tests stay out of the user's folder; parallel workers inherit it.
if "TGS_CACHE_DIR" not in os.environ:
    os.environ["TGS_CACHE_DIR"] = tempfile.mkdtemp(prefix="tinygrad_seq-")
    atexit.register(shutil.rmtree, os.environ["TGS_CACHE_DIR"], ignore_errors=True)

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# The whole package comes first: pytest, collecting docstrings file by file, would put the module tensor.py where the
# package has the function of that name.
from tinygrad_seq.base.settings import manual_seed

# A first call compiles kernels and the machine may be shared, so time is never a reason to fail.
settings.register_profile("dev", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, database=None, print_blob=True)
settings.register_profile("thorough", settings.get_profile("dev"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "dev"))

SEED = 0

# Sphinx reads these.
collect_ignore_glob = ["docs/*.py"]


@pytest.fixture(autouse=True)
def seed() -> int:
    """Seed the generator of the package before each test, so that no test depends on those before it."""
    manual_seed(SEED)
    return SEED


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    """Return a freshly seeded generator for the data of a test."""
    return np.random.default_rng(seed)

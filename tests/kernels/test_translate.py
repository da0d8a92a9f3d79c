"""The front end of generated kernels: what Python does, compiled, in the types of Numba; what it cannot do it names."""

from __future__ import annotations

import numpy as np
import pytest
from numba import config
from numba.core.errors import NumbaError

from tinygrad_seq.kernels.compile import generated


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Return a function that compiles the body of ``run(x, n)``, with `x` an array of float64 and `n` unsigned."""
    monkeypatch.setattr("numba.config.DISABLE_JIT", 0)
    monkeypatch.setenv("TGS_CACHE_DIR", str(tmp_path))

    def compiled(body: str, head: str = ""):
        lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
        source = f"import math\nimport numpy as np\nfrom numpy import nan\n{head}def run(x, n):\n{lines}"
        return generated.load(source, "run", "void(float64[::1], uint64)"), source

    return compiled


BODIES = {
    "operators": "x[0] = -x[1] + x[2] * 3 - x[3] / 7\nx[1] = x[2] ** 2 % 5 // 2\nx[2] = (5 & 3) | (8 ^ ~2)",
    "comparisons": "x[0] = x[1] < x[2]\nx[1] = x[2] >= x[3]",
    "conditions": "x[0] = x[1] if x[1] > x[2] else 2\nx[1] = 1.5 if not x[2] > 0 or x[3] > 0 and n > 3 else x[3]",
    "a condition guards": "x[0] = 1.0 if n != 0 and x[3] / n > 0 else 0.0\nx[1] = 5.0 if n == 0 or 7 // n > 0 else 6.0",
    "loops": "for i in range(1, n):\n    total = 0.0\n    for j in range(i):\n        total += x[j]\n    x[i] = total",
    "no turn": "for i in range(n, 2):\n    x[i] = 0\nfor i in range(x.size - 4):\n    x[i] = 0",
    "a name of two types": "a = 1\nx[0] = a / 2\na = x[1]\nx[1] = a * a",
    "a name of two types in two loops": "for i in range(n):\n    a = 1\n    for j in range(n):\n        a += 1\n"
    "    for j in range(n):\n        a = 0.5\n        a += x[j]\n        x[j] = a",
    "kept through a loop": "top = x[0]\nfor i in range(n):\n    top = x[i] if x[i] > top else top\nx[0] = top",
    "an argument set again": "for i in range(3):\n    n = n - np.uint64(1)\nx[0] = n",
    "two targets": "x[0] = x[1] = 7.0",
    "if": "k = 1\nif x[0] > 100:\n    k = 2\nif x[1] < 100:\n    k += 5\nx[0] = k",
    "parts": "x[0] *= 2\nx[1] += x[0]",
    "functions": "x[0] = math.sqrt(abs(x[1])) + max(x[2], x[3])\nx[1] = nan\nx[2] = np.float32(x[3] / 3)",
    "numbers": "x[0] = -np.float64(0)\nx[1] = np.inf\nx[2] = True",
}


@pytest.mark.parametrize("name", BODIES)
def test_it_does_what_python_does(load, name: str, rng) -> None:
    run, source = load(BODIES[name])
    module: dict = {}
    exec(source, module)
    given = rng.normal(size=4)
    want, got = given.copy(), given.copy()
    module["run"](want, 4)
    run(got, 4)
    np.testing.assert_allclose(got, want, rtol=1e-15)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("while n > 0:\n    n = n - 1", r"got While: while n > 0:.*translate\.py"),
        ("for i in x:\n    x[0] = i", "got For"),
        ("for i in range(0, n, 2):\n    x[i] = 1", "got For"),
        ("x[0] = 0 < n < 3", "got Compare"),
        ("x[0] = max(x[0], x[1], key=abs)", "got Call"),
        ("if n > 0:\n    x[0] = 1\nelse:\n    x[0] = 2", "got If"),
        ("a, b = x[0], x[1]", "got Tuple"),
        ("x[0] = no_such_name", "'no_such_name' is not known"),
        ("x[0] = x.no_such_thing", "has no attribute 'no_such_thing'"),
        ("a = 1\nfor i in range(n):\n    x[1] = a\n    a = x[0]", "'a' is int64 before the loop and float64 in it"),
        ("a = 1\nfor i in range(n):\n    a = x[0]\nx[1] = a", "'a' is not known"),
        ("x[0] = x & n", "line 5: x.0. = x & n"),
    ],
)
def test_what_it_cannot_do_it_names(load, body: str, message: str) -> None:
    with pytest.raises(NumbaError, match=f"(?s){message}"):
        load(body)


@pytest.mark.skipif(config.DISABLE_JIT, reason="a scalar function is Python's then")
def test_elements_have_the_same_bits_wherever_they_stand(load, rng) -> None:
    body = (
        "for i in elements(n):\n    y = scalar.sigmoid(x[i])\n    x[i] = y * x[i] + scalar.tanh(x[i]) * (y - x[i] * y)"
    )
    head = "from tinygrad_seq.kernels import scalar\nfrom tinygrad_seq.kernels.llvm.simd import elements\n"
    run, _ = load(body, head)
    given = 3 * rng.normal(size=100)
    whole = given.copy()
    run(whole, 100)
    for start in (1, 9, 40, 77, 99):
        for count in (0, 1, 7, 16, 17, 23, 33, 65):
            part = given[start : start + count].copy()
            rest = np.append(part, [np.nan] * 3)
            run(rest, part.size)
            np.testing.assert_array_equal(rest[: part.size], whole[start : start + count])
            assert np.isnan(rest[part.size :]).all()

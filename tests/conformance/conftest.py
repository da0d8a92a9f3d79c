"""Every test runs twice: with the compiled loop and with the eager one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import tinygrad_seq as ts


@pytest.fixture(autouse=True, params=["compiled", "eager"])
def mode(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a test with and without the compiler. A loop that cannot be compiled fails it: warnings are errors."""
    if request.param == "compiled":
        yield request.param
    else:
        with ts.disable_compile():
            yield request.param

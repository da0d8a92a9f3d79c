"""The examples that CI runs, and how one that fails is shown."""

from __future__ import annotations

import pytest

from tinygrad_seq.testing.soak import failing_script, outcome_of, program_of, smallest


def assert_sound(kind: str, seed: int) -> None:
    """Check one example, as ``python -m tinygrad_seq.testing check`` does; fail with the script of a smaller one."""
    program = program_of(kind, seed)
    outcome = outcome_of(kind, program)
    if outcome.faults:
        small = smallest(kind, program, outcome, 60.0)
        pytest.fail(f"{kind} {seed}\n{failing_script(small, outcome_of(kind, small).faults)}", pytrace=False)

"""Arrays of a step that come and go cost page faults once, where the C library is glibc."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import tinygrad_seq

STEPS = """
import resource, sys
import numpy as np
from tinygrad_seq.kernels.allocator import keep_freed_memory

kept = sys.argv[1] == "keep" and keep_freed_memory()

def step():
    arrays = [np.ones(1 << 18, np.float32) for _ in range(20)]

for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults_of_a_step(how: str) -> tuple[bool, int]:
    environment = {**os.environ, "PYTHONPATH": str(Path(tinygrad_seq.__file__).parents[1])}
    command = [sys.executable, "-c", STEPS, how]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    kept, faults = map(int, done.stdout.split())
    return bool(kept), faults


def test_a_second_step_finds_its_memory():
    kept, faults = faults_of_a_step("keep")
    _, without = faults_of_a_step("leave")
    assert faults < 100 < without if kept else faults <= 2 * without + 100

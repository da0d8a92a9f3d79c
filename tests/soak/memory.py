"""Long runs in flat memory."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.soak.trial import ENVIRONMENT, Trial, check

SLACK = 6.0
"""The growth in MB that is not a leak: arenas of the allocator, caches that fill."""

STREAM = """
import numpy as np, tinygrad_seq as ts
from tests.soak.memory import resident
ts.manual_seed(0)
steps, rng = {steps}, np.random.default_rng(0)
stream = ts.nn.{layer}(4, 8).stream(2)
xs = rng.standard_normal((1000, 2, 4)).astype(np.float32)
for t in range(steps):
    y = stream(xs[t % 1000])
    if t == steps // 10:
        print(resident(), flush=True)
assert np.isfinite(y.numpy()).all()
print(resident())
"""
WINDOWS = """
import numpy as np, tinygrad_seq as ts
from itertools import islice
from tests.soak.memory import resident
ts.manual_seed(0)
tokens = np.random.default_rng(0).integers(0, 20, {steps} + 1).astype(np.uint8)
model = ts.train.LanguageModel(20, embedding_size=4, hidden_size=8, cell="{layer}")
optimizer = ts.optim.Adam(model.parameters(), lr=0.01)
windows = ts.data.Windows(tokens, batch_size=1, window=50)
steps = ts.train.TrainingSteps(model, windows, optimizer, clip_norm=1.0)
for step in islice(steps, len(windows)):
    if step.number == len(windows) // 10:
        print(resident(), flush=True)
print(resident())
"""


def resident(pid: int | str = "self") -> float:
    """Return the resident memory of a process in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def many_steps(trial: Trial, steps: int = 100_000) -> str:
    """Train for many steps, with evaluations, samples and checkpoints."""
    trial.straight("training")  # compiles, which takes memory for good
    settings = trial.settings("training", "--steps", str(steps), "--evaluate-every", str(steps // 50))
    megabytes: dict[int, float] = {}
    with trial.start("train", "--out", str(trial.run), *settings) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("step") and process.poll() is None:
                megabytes[int(line.split("/")[0].removeprefix("step"))] = resident(process.pid)
    check(process.returncode == 0, f"ended with {process.returncode}")
    early, late = (megabytes[step] for step in (steps // 10, max(megabytes)))
    check(late <= early + SLACK, f"more memory from step to step: {megabytes}")
    return f"{steps:,} steps: {early:.0f} MB after a tenth, {late:.0f} MB at the end"


def _script(trial: Trial, script: str, **values: object) -> str:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script.format(**values)],
        env=ENVIRONMENT, cwd=trial.folder, text=True, capture_output=True, check=False,
    )  # fmt: skip
    check(done.returncode == 0, done.stderr)
    early, late = map(float, done.stdout.split())
    check(late <= early + SLACK, f"{values}: {early:.1f} MB after a tenth of the steps, {late:.1f} MB at the end")
    took = time.monotonic() - began
    return f"{values['steps']:,} steps of {values['layer']} in {took:.0f} s: {early:.0f} MB, then {late:.0f} MB"


def long_stream(trial: Trial, steps: int = 1_000_000) -> str:
    """Stream a long sequence through a layer, one step per call."""
    return _script(trial, STREAM, steps=steps, layer=trial.rng.choice(("LSTM", "GRU", "RNN")))


def long_text(trial: Trial, steps: int = 1_000_000) -> str:
    """Train on a long text once, in truncated windows of one stream."""
    return _script(trial, WINDOWS, steps=steps, layer=trial.rng.choice(("lstm", "gru")))

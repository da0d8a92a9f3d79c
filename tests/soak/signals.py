"""SIGINT and SIGTERM at any moment, repeated, and two at once."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from tests.soak.situations import complete, draw_operation, kept, prepare
from tests.soak.trial import PATIENCE, SIZES, Done, SoakError, Trial, check, processor_seconds, write_text

STOPPED = {128 + signal.SIGINT, 128 + signal.SIGTERM}
ENDED = {-signal.SIGINT, -signal.SIGTERM}
"""The exit codes of a process that had not begun, or had a second signal."""


def wait_stopped(trial: Trial, process: subprocess.Popen[str]) -> Done:
    """Wait for a process that has received signals; before its first line it may show where it was interrupted."""
    out, err = process.communicate(timeout=PATIENCE)
    trial.commands[-1] += f"  -> {process.returncode} {err[-300:]!r}"
    early = not out and err.rstrip().endswith("KeyboardInterrupt")
    check("Traceback" not in err or early, f"a traceback: {err}")
    finished = process.returncode == 0 or "has done" in err
    check(process.returncode in STOPPED | ENDED or finished, f"ended with {process.returncode}: {err}")
    check(trial.run.exists() or not kept(trial.folder), f"left over: {kept(trial.folder)}")
    return Done(process.returncode, out, err)


def storm(trial: Trial) -> str:
    """Interrupt a run and those that continue it, each at a random moment."""
    profile = trial.draw_profile()
    trial.straight(profile)
    count = 0
    for _ in range(6):
        options = ["--resume"] if [*trial.run.glob("checkpoints/step-*")] else trial.settings(profile)
        if "--resume" not in options and (trial.run / "config.json").exists():
            options.append("--force")
        process = trial.start("train", "--out", str(trial.run), *options)
        trial.wait_at_random(process, profile)
        signals = trial.rng.choice([[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGTERM]])
        trial.commands[-1] += f"  {[each.name for each in signals]}"
        for each in signals:
            process.send_signal(each)
        done = wait_stopped(trial, process)
        if done.code not in STOPPED | ENDED:
            break
        count += 1
        if done.code in STOPPED and "saved at step" in done.out:
            check("--resume" in done.out, f"expected the command to resume, got {done.out[-300:]!r}")
    return f"{profile}: {complete(trial, 'start', profile)} after {count} stops"


def aimed_stop(trial: Trial) -> str:
    """Send signals just before an operation on files."""
    profile = trial.draw_profile("saving", "training", "reading")
    situation = trial.rng.choice(("start", "force", "resume", "back"))
    options = prepare(trial, situation, profile)
    number, operation = draw_operation(trial, situation, profile)
    action = trial.rng.choice(("int", "term", "both"))
    trial.commands.append(f"{action} before operation {number}: {operation}")
    process = trial.start("train", "--out", str(trial.run), *options, at=(action, number))
    wait_stopped(trial, process)
    return f"{situation}, {action}: {complete(trial, situation, profile)}"


def stop_in_large_text(trial: Trial, characters: int = 200_000_000, bound: float = 2.0) -> str:
    """Stop a run while it reads, encodes or evaluates a large text, and see how long it goes on."""
    corpus = trial.references / f"{characters}.txt"
    if not corpus.exists():
        write_text(corpus.with_name("block.txt"), min(characters, 1_000_000))
        block = corpus.with_name("block.txt").read_bytes()
        with corpus.open("wb") as file:
            for _ in range(characters // len(block)):
                file.write(block)
    options = [*SIZES, "--validation", "0.5", "--eval-tokens", "0", "--evaluate-every", "10", "--steps", "1000"]
    process = trial.start("train", "--out", str(trial.run), "--corpus", str(corpus), *options)
    stage, first = trial.rng.choice((("reading", "Reading"), ("evaluating", "Ctrl-C")))
    assert process.stdout is not None
    while first not in (line := process.stdout.readline()):
        check(bool(line), f"the process ended before it was {stage}")
    # Ten steps take a few milliseconds; then the evaluation takes minutes.
    time.sleep(trial.rng.uniform(0.0, 3.0) + 2.0 * (stage == "evaluating"))
    number, before = trial.rng.choice((signal.SIGINT, signal.SIGTERM)), sum(os.times()[2:4])
    before += processor_seconds(process.pid)
    process.send_signal(number)
    began = time.monotonic()
    try:
        process.wait(timeout=10 * bound)
    except subprocess.TimeoutExpired:
        process.kill()
        shown = process.communicate()
        raise SoakError(f"{number.name} while {stage}: not obeyed within {10 * bound:.0f} s: {shown}") from None
    # On a busy machine a process waits for a processor: then its own time counts.
    seconds = min(time.monotonic() - began, sum(os.times()[2:4]) - before)
    done = wait_stopped(trial, process)
    check(seconds <= bound, f"{number.name} while {stage}: obeyed after {seconds:.2f} s")
    check(done.code == 128 + number, f"{number.name} while {stage}: exit code {done.code}")
    if stage == "evaluating":
        saved = [*trial.run.glob("checkpoints/step-*.safetensors")]
        check(bool(saved), "no checkpoint was written before the evaluation")
    return f"{stage}, {number.name}"

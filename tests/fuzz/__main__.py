"""Fuzz every reader: ``python -m tests.fuzz --inputs 100000 --seed 0``.

Prints how often each reader returned, or raised which error of the package. An input fails if another exception is
raised, if it takes more than 2 s of processor time or 30 s in all, or if the process grows by more than 256 MB. Then
its folder and traceback are saved, and ``--only READER:NUMBER`` runs it again.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

from tinygrad_seq.errors import TinygradSeqError

from .inputs import READERS

SECONDS, HANG, MEGABYTES = 2.0, 30, 256


class HangError(BaseException):
    """An input took too long; no reader catches this."""


def run(reader: str, number: int, seed: int, out: Path) -> str:
    """Run one input and return its outcome; that of a failed one starts with "FAILED"."""
    rng = random.Random(f"{seed} {reader} {number}")
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    problem = ""
    try:
        call = READERS[reader][1](rng, folder)
        memory, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        signal.setitimer(signal.ITIMER_REAL, HANG)
        try:
            found = call()
            outcome = found if isinstance(found, str) else "ok"
        except TinygradSeqError as error:
            outcome = type(error).__name__
            if "\n" in str(error).strip() or not str(error):
                problem = f"a message that is not one line: {error!r}"
        except (Exception, HangError) as error:  # noqa: BLE001 (that is what is looked for)
            outcome = type(error).__name__
            problem = traceback.format_exc()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        seconds = time.process_time() - began
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
        if not problem and (seconds > SECONDS or grown > MEGABYTES):
            outcome, problem = "cost", f"{seconds:.1f} s of processor time, {grown:.0f} MB"
        if problem:
            place = out / f"{reader}-{number}"
            shutil.copytree(folder, place / "input", symlinks=True, dirs_exist_ok=True)
            (place / "what.txt").write_text(f"--seed {seed} --only {reader}:{number}\n{problem}", errors="replace")
            return f"FAILED: {outcome}"
        return outcome
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Run all inputs, print the counts, and return 1 if one failed."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1000, help="how many, over all readers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("fuzz"), help="the folder of failing inputs")
    parser.add_argument("--only", metavar="READER[:NUMBER]", default="", help="one reader, or one of its inputs")
    parser.add_argument("--json", type=Path, help="write the counts to this file")
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # a damaged cache warns
    os.fsync = lambda fd: None  # syncing takes most of the time
    virtual = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (virtual + (4 << 30), -1))

    def hang(*_: object) -> None:
        raise HangError

    signal.signal(signal.SIGALRM, hang)
    reader, _, number = given.only.partition(":")
    shares = {name: share for name, (share, _) in READERS.items() if reader in ("", name)}
    counts: dict[str, dict[str, int]] = {}
    for name, share in shares.items():
        inputs = given.inputs * share // sum(shares.values())
        numbers = [int(number)] if number else range(inputs)
        counts[name] = dict(
            collections.Counter(run(name, each, given.seed, given.out) for each in numbers).most_common()
        )
        print(f"{name:13}", ", ".join(f"{outcome} {count:,}" for outcome, count in counts[name].items()), flush=True)  # noqa: T201
    if given.json:
        given.json.write_text(json.dumps({"seed": given.seed, "counts": counts}, indent=1) + "\n")
    return any(outcome.startswith("FAILED") for found in counts.values() for outcome in found)


if __name__ == "__main__":
    sys.exit(main())

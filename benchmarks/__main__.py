"""Run the benchmarks: ``python -m benchmarks [SUBJECT ...] [--quick] [--peers torch,jax] [--table]``.

Each subject is a script of this folder. It runs this package and its peers in turn, each in its own process, and writes
``results/SUBJECT.json`` (with --quick ``SUBJECT_quick.json``, which no table shows). ``--table`` measures nothing: it
writes ``docs/performance.md`` and the table of README.md from those files.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks._table import read, summary, tables, update

FOLDER = Path(__file__).resolve().parent

COMPARISONS = [
    "layers",
    "low_precision",
    "per_token",
    "lengths",
    "options",
    "custom_cells",
    "matrix_cells",
    "training",
    "sampling",
    "serving",
    "onnx_export",
    "compile_time",
    "memory",
    "scaling",
    "threads",
    "memory_bound",
    "peak",
    "eager_overhead",
]
SCRIPTS = ["gemm", "scalar", "import_time"]  # these take neither --peers nor --with-torch-compile


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=f"of {', '.join(COMPARISONS + SCRIPTS)}")
    parser.add_argument("--quick", action="store_true", help="one short round of a few cases")
    parser.add_argument("--peers", help="comma-separated packages, default: all")
    parser.add_argument("--with-torch-compile", action="store_true", help="also torch.compile, which takes minutes")
    parser.add_argument(
        "--table", action="store_true", help="write docs/performance.md and the table of README.md, measure nothing"
    )
    options = parser.parse_args()
    unknown = set(options.subjects) - {*COMPARISONS, *SCRIPTS}
    if unknown:
        parser.error(f"no such subject: {', '.join(sorted(unknown))}")
    if options.table:
        found = read(FOLDER / "results")
        update(FOLDER.parent / "docs" / "performance.md", tables(found))
        update(FOLDER.parent / "README.md", summary(found))
        return 0
    failed = []
    for subject in options.subjects or [*COMPARISONS, *SCRIPTS]:
        command = [sys.executable, "-m", f"benchmarks.{subject}", *(["--quick"] if options.quick else [])]
        if subject in COMPARISONS:
            command += ["--peers", options.peers] if options.peers else []
            command += ["--with-torch-compile"] if options.with_torch_compile else []
        if subprocess.run(command, check=False).returncode:
            failed.append(subject)
    if failed:
        print("failed:", ", ".join(failed))
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())

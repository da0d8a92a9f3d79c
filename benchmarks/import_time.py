"""Start-up: the time of ``import tinygrad_seq`` against ``import numba`` alone, in fresh processes in turn.

Run: python -m benchmarks.import_time
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from benchmarks._harness import environment, machine_facts, save, summary

STATEMENTS = {"numba": "import numba", "tinygrad_seq": "import tinygrad_seq"}


def main() -> None:
    """Time both imports and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds instead of twenty")
    quick = parser.parse_args().quick
    seconds: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(4 if quick else 21):
        for name, statement in STATEMENTS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], env=environment(), check=True)
            seconds[name].append(time.perf_counter() - start)
    rows = summary({name: values[1:] for name, values in seconds.items()}, "tinygrad_seq")
    ratio = rows["tinygrad_seq"]["median_ms"] / rows["numba"]["median_ms"]
    print({name: row["median_ms"] for name, row in rows.items()}, f"ms; ours / numba {ratio:.2f}")
    result = {"what": __doc__.splitlines()[0], **machine_facts(["numpy", "numba"]), "results": rows}
    print("wrote", save("import_time", {**result, "ours_over_numba": round(ratio, 3)}, quick).name)


if __name__ == "__main__":
    main()

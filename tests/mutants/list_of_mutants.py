"""All mutants."""

from __future__ import annotations

from . import of_kernels, of_scan

MUTANTS = [*of_scan.MUTANTS, *of_kernels.MUTANTS]

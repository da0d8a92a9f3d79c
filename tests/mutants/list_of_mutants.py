"""All mutants."""

from __future__ import annotations

from . import of_kernels, of_layers, of_operations, of_scan, of_tape, of_training

MUTANTS = [
    *of_scan.MUTANTS,
    *of_kernels.MUTANTS,
    *of_operations.MUTANTS,
    *of_tape.MUTANTS,
    *of_layers.MUTANTS,
    *of_training.MUTANTS,
]

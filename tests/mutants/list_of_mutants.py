"""All mutants."""

from __future__ import annotations

from . import of_engine, of_kernels, of_layers, of_scan, of_training

MUTANTS = [
    *of_scan.MUTANTS,
    *of_kernels.MUTANTS,
    *of_engine.MUTANTS,
    *of_layers.MUTANTS,
    *of_training.MUTANTS,
]

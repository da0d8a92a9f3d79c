"""Reverse-mode automatic differentiation: the tape, the `Tensor`, and the transforms of functions built on them."""

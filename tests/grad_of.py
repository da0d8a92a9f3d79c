"""The gradient of a leaf, where there must be one."""

from __future__ import annotations

from tinygrad_seq.autograd.tensor import Tensor


def grad_of(leaf: Tensor) -> Tensor:
    """Return the gradient that a backward pass left at `leaf`."""
    assert leaf.grad is not None
    return leaf.grad

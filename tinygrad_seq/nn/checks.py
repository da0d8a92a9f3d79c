"""Argument checks that layers share. `layer` is the name that starts the error message."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..base.modes import first_bad
from ..base.tree import Tree
from ..errors import AnomalyError, ArgumentError, DtypeError, ShapeError
from ..scan.ir.leaves import name_of, named_leaves
from .module.module import Module


def check_sizes(layer: str, **sizes: Any) -> None:
    """Raise unless every size is an integer >= 1."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise ArgumentError(f"{layer}: expected {name} to be an integer >= 1, got {size!r}; pass e.g. {name}=64.")


def check_switches(layer: str, **switches: Any) -> None:
    """Raise unless every switch is True or False."""
    for name, value in switches.items():
        if not isinstance(value, bool | np.bool_):
            raise ArgumentError(f"{layer}: expected {name} to be True or False, got {value!r}; pass one of them.")


IN_PLACE = "leave it out: the result is a new tensor, and x = layer(x) frees the old one"


def refuse(layer: str, advice: str, **options: Any) -> None:
    """Raise if an option of PyTorch is given that the layer does not have: it must be None or False."""
    for name, value in options.items():
        if value is not None and value is not False:
            raise ArgumentError(f"{layer}: expected {name} to be left out, got {name}={value!r}; {advice}.")


def check_probability(layer: str, **probabilities: Any) -> None:
    """Raise unless every probability is a number in [0, 1]."""
    for name, p in probabilities.items():
        if isinstance(p, bool) or not isinstance(p, int | float | np.number) or not 0 <= p <= 1:
            raise ArgumentError(
                f"{layer}: expected {name} to be a probability in [0, 1], got {p!r}; pass e.g. {name}=0.5."
            )


def check_numbers(layer: str, least: float, most: float, **numbers: Any) -> None:
    """Raise unless every number is finite and from `least` to `most`."""
    for name, number in numbers.items():
        plain = isinstance(number, int | float | np.number) and not isinstance(number, bool)
        if not plain or not np.isfinite(number) or not least <= number <= most:
            bounds = " and ".join(
                [f">= {least:g}"] * bool(np.isfinite(least)) + [f"<= {most:g}"] * bool(np.isfinite(most))
            )
            raise ArgumentError(
                f"{layer}: expected {name} to be a finite number{bounds and ' '}{bounds}, got {number!r}; pass one."
            )


def check_tensor(layer: str, x: Any, dtype: np.dtype | None = None) -> None:
    """Raise unless x is an array, of the parameters' `dtype` if that is given.

    Without this check, float64 inputs of a float32 layer would silently be computed in float64.
    """
    if not hasattr(x, "shape"):
        raise DtypeError(f"{layer}: expected a tensor, got {type(x).__name__}; make one with ts.tensor.")
    if dtype is not None and x.dtype != dtype:
        raise DtypeError(
            f"{layer}: expected inputs as {dtype} like the parameters, got {x.shape} {x.dtype}; cast them with "
            "astype, or the module with .float() or .double()."
        )


def check_features(layer: str, x: Any, size: int, dtype: np.dtype | None = None) -> None:
    """Raise unless x is an array with `size` features on its last axis, of the parameters' `dtype` if that is given."""
    check_tensor(layer, x)
    if not x.shape or x.shape[-1] != size:
        raise ShapeError(
            f"{layer}: expected {size} features on the last axis, got shape {x.shape} {x.dtype}; "
            f"pass (..., {size}) or build the layer with the size of the data."
        )
    check_tensor(layer, x, dtype)


def check_given(modules: Iterable[tuple[str, Module]], xs: Tree) -> None:
    """Raise if an input is NaN or a parameter is not finite, before the first step; see `detect_anomaly`.

    `modules` are pairs of the label that an error carries and a module.
    """
    for path, x in named_leaves(xs):
        nans = np.argwhere(np.isnan(x.numpy()))  # infinities may be intended
        if len(nans):
            index = tuple(nans[0].tolist())
            raise AnomalyError(f"{name_of('xs', path)} is nan at index {index}; look for it in the data.")
    for place, module in modules:
        for name, parameter in module.named_parameters():
            if (bad := first_bad(parameter)) is not None:
                raise AnomalyError(
                    f"parameter {name!r} is {bad[1]} at index {bad[0]} before the first step, so an update made it "
                    "so; inspect the gradients before that update, clip them or lower lr.",
                    place,
                )

"""The world of several ranks: what `World` says, over MPI.

Every method begins with one meeting: all ranks exchange a row of numbers, which names the method. So ranks that call
different methods find out in place of waiting for each other for ever. Waiting polls and gives way, so more ranks than
cores are slow, but not stuck, and signals are seen.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import math
import os
import pickle
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from mpi4py import MPI

from ..autograd.tensor import Tensor, wrap
from ..base import settings
from ..base.tree import flatten
from ..errors import ArgumentError
from ..kernels.allocator import keep_freed_memory
from .watch import Watch
from .world import World

_NUMBERS = 6
_BUCKET = 1 << 20  # numbers per message
_SPIN, _YIELD = 2e-4, 2e-2  # seconds
_NONE, _ROWS, _COLUMNS = 0, 1, 2  # layouts of a gradient: there is none, or which axis is contiguous
_METHODS = ("check", "average", "agree", "sum", "gather_rows", "broadcast")


class Ranks(World):
    """The ranks of ``MPI.COMM_WORLD``; `world` makes it once."""

    def __init__(self) -> None:
        keep_freed_memory()  # each step makes new gradients
        self._comm = MPI.COMM_WORLD.Dup()
        self.rank, self.size = self._comm.Get_rank(), self._comm.Get_size()
        self._rows = np.zeros((self.size, 1 + _NUMBERS))
        self._pending: Any = None
        self._flat: dict[np.dtype[Any], np.ndarray[Any, Any]] = {}
        if "TGS_THREADS" not in os.environ:
            settings.set_num_threads(1)
        here = self._comm.Split_type(MPI.COMM_TYPE_SHARED)
        self._spin = _SPIN if here.Get_size() <= settings.cores() else 0.0
        here.Free()
        self._watch = Watch(self._comm)

    # ------------------------------------------------------------------------------------------- meetings

    def _wait(self, request: Any) -> None:
        began = time.perf_counter()
        self._pending = request  # an interrupted wait must not free the memory that others write to
        while not request.Test():
            waited = time.perf_counter() - began
            if waited > _YIELD:
                self._watch.is_waiting = True
                time.sleep(1e-4)
            elif waited > self._spin:
                os.sched_yield()
        self._watch.is_waiting = False
        self._pending = None

    def _meet(self, method: str, *numbers: float) -> np.ndarray[Any, Any]:
        """Return the numbers of all ranks, one row each."""
        mine = np.array([_METHODS.index(method), *numbers, *[0] * (_NUMBERS - len(numbers))], float)
        self._wait(self._comm.Iallgather(mine, self._rows))
        different = np.flatnonzero(self._rows[:, 0] != self._rows[0, 0])
        if len(different):
            other = int(different[0])
            first, second = (_METHODS[int(self._rows[rank, 0])] for rank in (0, other))
            raise ArgumentError(
                f"World.{method}: expected the same call on all ranks, got {first} on rank 0 and {second} on rank "
                f"{other}; give all ranks equally many batches, and let all ranks make all calls."
            )
        return self._rows[:, 1 : 1 + len(numbers)]

    def _gather(self, method: str, value: Any, *, on_all: bool) -> list[Any]:
        """Return the values of all ranks, on the others than rank 0 only if `on_all`."""
        data = pickle.dumps(value)
        sizes = self._meet(method, len(data))[:, 0].astype(int).tolist()
        joined = np.empty(sum(sizes), np.uint8) if on_all or self.is_writer else None
        target = None if joined is None else (joined, sizes)
        sent = np.frombuffer(data, np.uint8)
        self._wait(self._comm.Iallgatherv(sent, target) if on_all else self._comm.Igatherv(sent, target))
        if joined is None:
            return []
        ends = np.cumsum(sizes)
        return [pickle.loads(part.data) for part in np.split(joined, ends[:-1])]

    # ------------------------------------------------------------------------------------------- the methods

    def check(self, caller: str, facts: Mapping[str, Any]) -> None:
        """Raise on all ranks unless all have the same facts; see `World.check`."""
        mine = {
            "the caller": caller,
            **{f"the version of {name}": _version(name) for name in ("tinygrad-seq", "numpy", "numba")},
            "the version of Python": platform.python_version(),
            **facts,
        }
        first, *others = (json.loads(text) for text in self._gather("check", json.dumps(mine), on_all=True))
        for rank, other in enumerate(others, 1):
            for name in [*first, *(other.keys() - first.keys())]:
                if first.get(name) != other.get(name):
                    here, there = _from_difference(repr(first.get(name)), repr(other.get(name)))
                    raise ArgumentError(
                        f"{caller}: expected the same on all ranks, got {name} = {here} on rank 0 and {there} "
                        f"on rank {rank}; start all ranks with the same installation, "
                        "options, data and seed."
                    )

    def draws(self, step: int) -> contextlib.AbstractContextManager[None]:
        """Return a context with random numbers of this rank; see `World.draws`."""
        state = pickle.dumps(settings.generator().bit_generator.state)
        digest = hashlib.sha256(state + f"{step} {self.rank}".encode()).digest()
        return settings.drawing_from(np.random.default_rng(int.from_bytes(digest)))

    def average(self, parameters: Iterable[Tensor], loss: float, weight: float = 1.0) -> tuple[float, float]:
        """Average the gradients; see `World.average`."""
        trained = list(parameters)
        layouts = np.array([_layout(parameter) for parameter in trained], np.uint8)
        digest = float(int.from_bytes(hashlib.sha256(layouts.data).digest()[:6]))
        met = self._meet("average", loss, weight, len(trained), digest)
        losses, weights = met[:, 0], met[:, 1]
        if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
            raise ArgumentError(
                f"World.average: expected weights >= 0 that are finite and not all 0, got {weights.tolist()!s:.200} on "
                "the ranks; pass the number of tokens or examples that the mean of the rank was taken over."
            )
        if (met[:, 2] != len(trained)).any():
            raise ArgumentError(
                f"World.average: expected the same parameters on all ranks, got "
                f"{met[:, 2].astype(int).tolist()!s:.200} of them; build the same model on all ranks."
            )
        total = math.fsum(weights)
        counted = weights > 0
        mean = float(np.dot(losses[counted], weights[counted] / total))
        if (met[:, 3] != digest).any():
            self._wait(self._comm.Iallreduce(MPI.IN_PLACE, layouts, MPI.MAX))
            layouts = np.minimum(layouts, _ROWS)
        if math.isfinite(mean):
            self._add([pair for pair in zip(trained, layouts.tolist(), strict=True) if pair[1]], weight / total)
        return mean, total

    def _add(self, trained: list[tuple[Tensor, int]], scale: float) -> None:
        """Replace each gradient by the sum over the ranks of ``scale * gradient``; it is sent in the given layout."""
        requests = []
        by_dtype: dict[np.dtype[Any], list[tuple[Tensor, int]]] = {}
        for parameter, layout in trained:
            by_dtype.setdefault(parameter.dtype, []).append((parameter, layout))
        parts: list[tuple[Tensor, np.ndarray[Any, Any]]] = []
        for dtype, group in by_dtype.items():
            ends = np.cumsum([parameter.size for parameter, _ in group]).tolist()
            flat = self._flat.get(dtype)
            if flat is None or len(flat) < ends[-1]:
                flat = self._flat[dtype] = np.empty(ends[-1], dtype)
            sent = 0
            for (parameter, layout), end in zip(group, ends, strict=True):
                shape = parameter.shape if layout == _ROWS else parameter.shape[::-1]
                part = flat[end - parameter.size : end].reshape(shape)
                part = part if layout == _ROWS else part.T
                parts.append((parameter, part))
                if parameter.grad is None or scale == 0:  # the gradient of an empty mean may be NaN
                    part.fill(0)
                else:
                    np.multiply(parameter.grad.numpy(), dtype.type(scale), out=part)
                while end - sent >= _BUCKET or (end == ends[-1] and sent < end):
                    bucket = flat[sent : min(sent + _BUCKET, end)]
                    requests.append(self._comm.Iallreduce(MPI.IN_PLACE, bucket))
                    sent += len(bucket)
        for request in requests:
            self._wait(request)
        for parameter, part in parts:
            parameter.grad = wrap(part.copy(order="K"))

    def agree(self, stop: bool, seconds: float = 0.0) -> tuple[bool, float]:
        """Return the decision of all ranks; see `World.agree`."""
        met = self._meet("agree", stop, seconds)
        return bool(met[:, 0].any()), float(met[0, 1])

    def sum(self, values: Sequence[float]) -> list[float]:
        """Return the sums over the ranks; see `World.sum`."""
        if len(values) > _NUMBERS:
            raise ArgumentError(f"World.sum: expected at most {_NUMBERS} numbers, got {len(values)}; call it again.")
        return [float(total) for total in self._meet("sum", *values).sum(axis=0)]

    def gather_rows(self, tree: Any) -> Any:
        """Return the rows of all ranks on rank 0; see `World.gather_rows`."""
        leaves, rebuild = flatten(tree)
        parts = self._gather("gather_rows", leaves, on_all=False)
        return rebuild([np.concatenate(arrays) for arrays in zip(*parts, strict=True)]) if parts else None

    def broadcast(self, value: Any) -> Any:
        """Return the value of rank 0; see `World.broadcast`."""
        data = pickle.dumps(value) if self.is_writer else b""
        size = int(self._meet("broadcast", len(data))[0, 0])
        buffer = np.frombuffer(data, np.uint8).copy() if self.is_writer else np.empty(size, np.uint8)
        self._wait(self._comm.Ibcast(buffer))
        return value if self.is_writer else pickle.loads(buffer.data)

    def failing(self, code: int) -> contextlib.AbstractContextManager[None]:
        """Return a context for the report of an error that ends all; see `World.failing`."""
        return self._watch.failing(code)


def _from_difference(one: str, two: str) -> tuple[str, str]:
    """Return two texts, shortened if they are long to what lies around the first difference."""
    equal = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    begin = max(0, equal - 40)
    one, two = (text if len(text) <= 120 else f"...{text[begin:][:120]}" for text in (one, two))
    return one, two


def _layout(parameter: Tensor) -> int:
    """Return how the gradient lies in memory."""
    if parameter.grad is None:
        return _NONE
    flags = parameter.grad.numpy().flags
    return _COLUMNS if flags.f_contiguous and not flags.c_contiguous else _ROWS


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None

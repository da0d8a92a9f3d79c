"""What mpirun starts for the tests: ``python -m tests.distributed.on_ranks NAME``; rank 0 prints the result as JSON."""

from __future__ import annotations

import json
import os
import signal
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq import nn
from tinygrad_seq.errors import ArgumentError

T, N, INPUTS, CLASSES = 2, 6, 3, 4


def batches(steps: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(0)
    for _ in range(steps):
        yield generator.standard_normal((T, N, INPUTS)), generator.integers(0, CLASSES, (T, N))


def train(steps: int, act: Callable[[int], None] = lambda step: None) -> tuple[list[list[float]], int]:
    """Train with a loop of one's own in float64; return loss and norm per step, and a checksum of the weights."""
    world = ts.distributed.world()
    ts.manual_seed(0)
    ts.set_default_dtype(np.float64)
    layer, readout = nn.LSTM(INPUTS, 5), nn.Linear(5, CLASSES)
    ts.set_default_dtype(np.float32)
    parameters = [*layer.parameters(), *readout.parameters()]
    optimizer = ts.optim.Adam(parameters, lr=1e-2)
    curve = []
    for step, (inputs, targets) in enumerate(batches(steps), 1):
        act(step)
        mine = world.rows(N)
        optimizer.zero_grad()
        loss = ts.cross_entropy(readout(layer(inputs[:, mine])[0]), targets[:, mine])
        loss.backward()
        mean, weight = world.average(parameters, loss.item(), T * (mine.stop - mine.start))
        assert weight == T * N
        curve.append([mean, optimizer.step(max_norm=0.1)])
    return curve, zlib.crc32(b"".join(parameter.numpy().tobytes() for parameter in parameters))


def curves() -> dict[str, Any]:
    """Train twice: what all ranks have, and whether all bits are equal."""
    world = ts.distributed.world()
    with ts.disable_compile():  # the compiled loop is that of one process; other tests run it
        curve, weights = train(200)
        again, _ = train(50)
    everybody = world.gather_rows(np.array([weights]))
    return {"curve": curve, "equal": again == curve[:50] and (everybody is None or len(set(everybody)) == 1)}


def methods() -> dict[str, Any]:
    """Call all methods and check what they return on each rank."""
    world = ts.distributed.world()
    rank, size = world.rank, world.size
    assert size > 1
    assert ts.get_num_threads() == 1
    assert [len(range(9)[world.rows(9)])] == [9 // size + (rank < 9 % size)]
    with pytest.raises(ArgumentError, match=f"at least {size} elements, one per rank, got 1;"):
        world.rows(1)
    assert (world.share(9), world.share(1)) == (world.rows(9), slice(0, 1))
    rows = [[number] for number in range(size + 2)]
    batches = ts.data.Batches(rows, np.arange(size + 2), size + 1, shuffle=False, on_ranks=True)
    assert [len(targets) for _, targets in batches] == [1 + (rank == 0), 1]
    assert world.sum([rank, 1.0]) == [size * (size - 1) / 2, size]
    with pytest.raises(ArgumentError, match="at most 6 numbers, got 7"):
        world.sum([0.0] * 7)
    assert world.agree(rank == 1, 10.0 + rank) == (True, 10.0)
    assert world.agree(False)[0] is False
    assert world.broadcast({"rank": rank, "array": np.arange(3)})["rank"] == 0
    gathered = world.gather_rows({"h": np.full((1 + rank, 2), rank), "c": (np.full(1, -rank),), "none": None})
    assert (gathered is None) == (rank > 0)
    if gathered is not None:
        assert gathered["h"][:, 0].tolist() == [other for other in range(size) for _ in range(1 + other)]
        assert gathered["c"][0].tolist() == [-other for other in range(size)]
        assert gathered["none"] is None
    assert world.gather_rows(None) is None

    # Random numbers: those of the rank inside, the common ones outside.
    ts.manual_seed(3)
    with world.draws(1):
        inside = ts.rand(2).numpy()
    with world.draws(2):
        assert not np.array_equal(ts.rand(2).numpy(), inside)
    with world.draws(1):
        assert np.array_equal(ts.rand(2).numpy(), inside)
    assert ts.rand(2).numpy().tolist() == np.random.default_rng(3).random(2, np.float32).tolist()
    assert len({tuple(row) for row in world.broadcast(world.gather_rows(inside[None])).tolist()}) == size

    check_averages()
    world.check("the test", {"steps": 3, "data": ["a", 1]})
    for facts, message in [
        ({"rows": rank}, "the test: expected the same on all ranks, got rows = 0 on rank 0 and 1 on rank 1; start all"),
        ({"rows": 1, **({"seed": 1} if rank else {})}, "got seed = None on rank 0 and 1 on rank 1"),
    ]:
        with pytest.raises(ArgumentError, match=message):
            world.check("the test", facts)
    with pytest.raises(ArgumentError, match=r"got (sum|agree) on rank 0 and (agree|sum) on rank 1; give all ranks eq"):
        world.agree(False) if rank == 1 else world.sum([1.0])
    return curves()


def check_averages() -> None:
    """Average gradients of two dtypes and many sizes, with weights, with none, and with ones that are no numbers."""
    world = ts.distributed.world()
    rank, size = world.rank, world.size
    shapes = [
        ((3,), np.float32),
        ((1 << 20, 2), np.float32),
        ((), np.float64),
        ((2, 2), np.float32),
        ((5,), np.float64),
    ]
    parameters = [ts.zeros(shape, dtype=dtype, requires_grad=True) for shape, dtype in shapes]
    weights = np.arange(size) + 1.0
    for number, parameter in enumerate(parameters):
        if number != 3:
            parameter.grad = ts.full(parameter.shape, 10.0 * rank + number, dtype=parameter.dtype)
    if rank == 1:  # the gradient of the mean of nothing, and a parameter that this rank did not use
        weights = weights * (np.arange(size) != 1)
        parameters[0].grad = ts.full(3, float("nan"))
        parameters[2].grad = None
    weights = world.broadcast(weights * (np.arange(size) != 1))
    loss, total = world.average(parameters, float("nan") if rank == 1 else rank, weights[rank])
    share = weights / weights.sum()
    assert total == weights.sum()
    np.testing.assert_allclose(loss, share @ np.arange(size), rtol=1e-12)
    for number, parameter in enumerate(parameters):
        expected = share @ (10.0 * np.arange(size) + number)
        assert (parameter.grad is None) == (number == 3)
        if parameter.grad is not None:
            assert (parameter.grad.shape, parameter.grad.dtype) == (parameter.shape, parameter.dtype)
            np.testing.assert_allclose(parameter.grad.numpy(), expected, rtol=1e-6)
    assert np.isnan(world.average(parameters, float("nan") if rank == size - 1 else 1.0)[0])
    for weight, message in [(0.0, "finite and not all 0, got"), (-1.0, "weights >= 0"), (float("inf"), "are finite")]:
        with pytest.raises(ArgumentError, match=message):
            world.average(parameters, 1.0, weight)
    with pytest.raises(ArgumentError, match="expected the same parameters on all ranks"):
        world.average(parameters[rank == 0 :], 1.0)
    # Equal bits at any time of arrival.
    generator = np.random.default_rng(rank)
    gradient = generator.standard_normal(100_000) * 10.0 ** generator.integers(-6, 6, 100_000)
    for _ in range(10):
        parameters[4] = ts.zeros(100_000, dtype=np.float64, requires_grad=True)
        parameters[4].grad = ts.tensor(gradient)
        sum(range(generator.integers(30_000)))
        world.average(parameters[4:], 0.0)
        found = {zlib.crc32(parameters[4].grad.numpy().tobytes())}
        gathered = world.gather_rows(np.array(list(found)))
        assert gathered is None or len(set(gathered)) == 1


def stopped() -> None:
    """Stop one rank with a signal that nobody can catch."""
    end_rank(lambda: os.kill(os.getpid(), signal.SIGSTOP))


def killed() -> None:
    """Kill one rank."""
    end_rank(lambda: os.kill(os.getpid(), signal.SIGKILL))


def failed() -> None:
    """Let one rank raise."""

    def fail() -> None:
        raise RuntimeError("only this rank")

    end_rank(fail)


def left() -> None:
    """Let one rank leave early."""
    end_rank(sys.exit)


def end_rank(end: Callable[[], None]) -> None:
    world = ts.distributed.world()
    with ts.disable_compile():
        train(200, lambda step: end() if world.rank == world.size - 1 and step == 3 else None)


if __name__ == "__main__":
    result = globals()[sys.argv[1]]()
    if ts.distributed.world().is_writer:
        sys.stdout.write(json.dumps(result))

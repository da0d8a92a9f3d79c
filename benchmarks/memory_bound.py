"""Loops without a matrix product (minGRU, IndRNN, SRU) at T=512 N=32 H=256: time / time to stream their buffers once.

The steps read precomputed results of the hoisted products, so only the loop is timed. Traffic is counted in buffers of
T N H float32: the inputs that the forward pass reads and the outputs it writes; in a training step also what the
backward pass must read (inputs, states, the gradient of the outputs) and write (the gradients of the inputs). The
bandwidth is that of copying 256 MB in the same process, counting both reads and writes.

           forward        backward
minGRU     2 in, 1 out    2 in, h, dh, 2 out           3, with backward 9
IndRNN     1 in, 1 out    h, dh, 1 out                 2, with backward 5
SRU        4 in, 1 out    4 in, c, dh, 4 out; c saved  5, with backward 16

Run: python -m benchmarks.memory_bound
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from benchmarks._harness import time_for
from benchmarks._subject import OURS, Contestant, Subject

T, N, H = 512, 32, 256
# The number of inputs, and the buffers that the forward pass and the whole training step must touch.
CASES = {"minGRU": (2, 3, 9), "IndRNN": (1, 2, 5), "SRU": (4, 5, 16)}


def copy_bandwidth() -> float:
    """Return the bytes read and written per second while copying 256 MB: the median of 9 copies."""
    source, target = np.ones(2**26, np.float32), np.zeros(2**26, np.float32)
    seconds = []
    for _ in range(9):
        start = time.perf_counter()
        np.copyto(target, source)
        seconds.append(time.perf_counter() - start)
    return 2 * source.nbytes / statistics.median(seconds)


def measure(case: str, budget: float) -> dict:
    import tinygrad_seq as ts

    rng = np.random.default_rng(0)
    inputs, forward, training = CASES[case]
    xs = tuple(ts.tensor(rng.standard_normal((T, N, H)).astype(np.float32), requires_grad=True) for _ in range(inputs))
    u, v = (ts.tensor(rng.uniform(-0.9, 0.9, H).astype(np.float32), requires_grad=True) for _ in range(2))
    leaves, zero = (*xs, u, v), ts.zeros((N, H))
    g = ts.tensor(rng.standard_normal((T, N, H)).astype(np.float32))

    def min_gru(h, x):
        z, n = ts.sigmoid(x[0]), x[1]
        h = (1 - z) * h + z * n
        return h, h

    def ind_rnn(h, x):
        h = ts.relu(x[0] + u * h)
        return h, h

    def sru(c, x):
        """Lei et al. (2018): each gate reads the state through a vector; the output has a highway connection."""
        skip, n, forget, reset = x
        f, r = ts.sigmoid(forget + u * c), ts.sigmoid(reset + v * c)
        c = f * c + (1 - f) * n
        return c, r * c + (1 - r) * skip

    step = {"minGRU": min_gru, "IndRNN": ind_rnn, "SRU": sru}[case]

    def train():
        for leaf in leaves:
            leaf.grad = None
        ts.scan(step, zero, xs)[1].backward(g)

    def infer():
        with ts.no_grad():
            ts.scan(step, zero, xs)

    bandwidth = copy_bandwidth()
    stream = 4 * T * N * H / bandwidth
    seconds = {"training": time_for(train, budget), "inference": time_for(infer, budget)}
    over = {
        "training over streaming": [value / (training * stream) for value in seconds["training"]],
        "inference over streaming": [value / (forward * stream) for value in seconds["inference"]],
    }
    return {**seconds, **over, "bandwidth": [bandwidth]}


SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases={case: case for case in CASES},
    contestants={OURS: Contestant(measure)},
    quick=("IndRNN",),
    units={
        "training": "s",
        "inference": "s",
        "training over streaming": "1",
        "inference over streaming": "1",
        "bandwidth": "bytes/s",
    },
    facts={"buffers": {case: {"inference": b, "training": c} for case, (_, b, c) in CASES.items()}},
)

if __name__ == "__main__":
    SUBJECT.main()

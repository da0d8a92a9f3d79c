"""The custom cells: equations, sizes, and the parameters and data that all contestants share.

layer-norm LSTM  gates = LN(W x) + LN(U h), c' = s(f) c + s(i) tanh(g), h' = s(o) tanh(LN(c'))   Ba et al., 2016
concat GRU       u, r = s(W [h; x] + b), n = tanh(V [r h; x] + d), h' = u n + (1 - u) h           Cho et al., 2014, v1
minGRU           z, n = W x + b, h' = (1 - s(z)) h + s(z) n                                       Feng et al., 2024
peephole LSTM    an LSTM whose i and f see c, and o sees c', each through a vector                Gers et al., 2002
IndRNN           h' = relu(W x + u h + b), u a vector                                             Li et al., 2018
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CELLS = ("layer-norm LSTM", "concat GRU", "minGRU", "peephole LSTM", "IndRNN")


def shapes(cell: str, I: int, H: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the parameters of `cell`: weights are (out, in); vectors named "gain" are drawn around 1."""
    if cell == "layer-norm LSTM":
        norms = {f"{kind}_{name}": (size,) for name, size in (("x", 4 * H), ("h", 4 * H)) for kind in ("gain", "shift")}
        return {"W": (4 * H, I), "U": (4 * H, H), **norms, "gain_c": (H,), "shift_c": (H,)}
    if cell == "concat GRU":
        return {"W": (2 * H, H + I), "b": (2 * H,), "V": (H, H + I), "d": (H,)}
    if cell == "minGRU":
        return {"W": (2 * H, I), "b": (2 * H,)}
    if cell == "peephole LSTM":
        return {"W": (4 * H, I), "U": (4 * H, H), "b": (4 * H,), "see_i": (H,), "see_f": (H,), "see_o": (H,)}
    return {"W": (H, I), "b": (H,), "u": (H,)}


@dataclass(frozen=True)
class CustomCell:
    """A cell and its sizes."""

    cell: str
    T: int = 50
    N: int = 32
    I: int = 64
    H: int = 128

    def data(self) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Return the parameters, xs (T, N, I) and the gradient of the outputs (T, N, H)."""
        rng = np.random.default_rng(0)
        parameters = {}
        for name, shape in shapes(self.cell, self.I, self.H).items():
            centre = 1.0 if name.startswith("gain") else 0.0
            parameters[name] = (centre + rng.uniform(-1, 1, shape) / self.H**0.5).astype(np.float32)
        xs, g = (rng.standard_normal((self.T, self.N, size)).astype(np.float32) for size in (self.I, self.H))
        return parameters, xs, g

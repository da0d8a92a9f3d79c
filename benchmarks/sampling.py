"""The time to sample a token: LSTM with H=256, one sequence, vocabulary 100, against PyTorch eager and onnxruntime.

Each token is embedded and goes through one step and the projection; the next one is drawn from the softmax, here by the
model's `sample`, in PyTorch by torch.multinomial, and after onnxruntime by NumPy. At temperature 0 all contestants must
produce the same text.
Run: python -m benchmarks.sampling
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from benchmarks._harness import time_for
from benchmarks._subject import OURS, Contestant, Subject

V, E, H = 100, 64, 256
FIRST, GREEDY, BATCH = 5, 60, 100


def weights() -> dict[str, np.ndarray]:
    """Return the parameters under PyTorch's names, with a spread that gives varied text."""
    rng = np.random.default_rng(0)
    shapes = {"W": (4 * H, E), "U": (4 * H, H), "b": (4 * H,), "P": (V, H), "p": (V,)}
    drawn = {name: (3 * rng.uniform(-1, 1, shape) / H**0.5).astype(np.float32) for name, shape in shapes.items()}
    return {"E": rng.standard_normal((V, E)).astype(np.float32), **drawn}


def measure(tokens: Callable[[bool], Iterator[Any]], budget: float) -> dict:
    """Return the first tokens at temperature 0, and the seconds per token at temperature 1.

    `tokens` returns an endless iterator, greedy or not.
    """
    check = {"tokens": np.array(list(islice(tokens(True), GREEDY)), np.float64)}
    text = tokens(False)
    seconds = time_for(lambda: list(islice(text, BATCH)), budget)
    return {"check": check, "token": [value / BATCH for value in seconds]}


def ours(_: str, budget: float) -> dict:
    from tinygrad_seq.train import LanguageModel

    w = weights()
    model = LanguageModel(V, embedding_size=E, hidden_size=H, cell="lstm").eval()
    names = {"embedding.weight": "E", "decoder.weight": "P", "decoder.bias": "p"}
    names |= {f"recurrent.cells.0.weight_{which}": letter for which, letter in (("ih", "W"), ("hh", "U"))}
    state = {name: w[letter] for name, letter in names.items()}
    state |= {"recurrent.cells.0.bias_ih": w["b"], "recurrent.cells.0.bias_hh": np.zeros_like(w["b"])}
    model.load_state_dict(state)
    generator = np.random.default_rng(0)
    return measure(lambda greedy: model.sample([FIRST], temperature=0 if greedy else 1, generator=generator), budget)


def with_torch(one_step: bool) -> Contestant:
    """Return the PyTorch model, with `nn.LSTM` called for one step or with `nn.LSTMCell`."""

    def run(_: str, budget: float) -> dict:
        import torch

        torch.set_num_threads(1)
        w = {name: torch.from_numpy(value) for name, value in weights().items()}
        lstm = torch.nn.LSTMCell(E, H) if one_step else torch.nn.LSTM(E, H)
        lstm.load_state_dict(dict(zip(lstm.state_dict(), (w["W"], w["U"], w["b"], torch.zeros(4 * H)), strict=True)))

        def tokens(greedy: bool):
            with torch.inference_mode():
                token, state = torch.tensor([FIRST]), None
                while True:
                    x = torch.nn.functional.embedding(token, w["E"])
                    if one_step:
                        state = lstm(x, state)
                        y = state[0]
                    else:
                        y, state = lstm(x[None], state)
                    logits = torch.nn.functional.linear(y.reshape(H), w["P"], w["p"])
                    token = logits.argmax()[None] if greedy else torch.multinomial(torch.softmax(logits, 0), 1)
                    yield token.item()

        return measure(tokens, budget)

    return Contestant(run, "torch")


def onnx_model() -> bytes:
    """Return one step as an ONNX model that maps (token, h, c) to (logits, h, c)."""
    from onnx import TensorProto, helper, numpy_helper

    w = weights()

    def gates(matrix: np.ndarray) -> np.ndarray:
        """Return the blocks i, f, g, o in the order of ONNX: i, o, f, g."""
        i, f, g, o = np.split(matrix, 4)
        return np.concatenate([i, o, f, g])

    constants = {
        "E": w["E"],
        "W": gates(w["W"])[None],
        "R": gates(w["U"])[None],
        "B": np.concatenate([gates(w["b"]), np.zeros_like(w["b"])])[None],
        "P": w["P"],
        "p": w["p"],
        "rows": np.array([1, H]),
    }
    nodes = [
        helper.make_node("Gather", ["E", "token"], ["x"]),
        helper.make_node("LSTM", ["x", "W", "R", "B", "", "h", "c"], ["", "next_h", "next_c"], hidden_size=H),
        helper.make_node("Reshape", ["next_h", "rows"], ["y"]),
        helper.make_node("Gemm", ["y", "P", "p"], ["logits"], transB=1),
    ]

    def value(name: str, shape: tuple[int, ...], kind: int = TensorProto.FLOAT):
        return helper.make_tensor_value_info(name, kind, shape)

    state = (1, 1, H)
    graph = helper.make_graph(
        nodes,
        "step",
        [value("token", (1, 1), TensorProto.INT64), value("h", state), value("c", state)],
        [value("logits", (1, V)), value("next_h", state), value("next_c", state)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def with_onnxruntime(_: str, budget: float) -> dict:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx_model(), options, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)

    def tokens(greedy: bool):
        token, h, c = FIRST, np.zeros((1, 1, H), np.float32), np.zeros((1, 1, H), np.float32)
        while True:
            logits, h, c = session.run(None, {"token": np.array([[token]]), "h": h, "c": c})
            if greedy:
                token = int(logits.argmax())
            else:
                cumulative = np.cumsum(np.exp(logits[0] - logits.max()))
                token = int(np.searchsorted(cumulative, generator.random() * cumulative[-1], side="right"))
            yield token

    return measure(tokens, budget)


SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases={"LSTM H=256 N=1": "LSTM"},
    contestants={
        OURS: Contestant(ours),
        "torch": with_torch(one_step=False),
        "torch LSTMCell": with_torch(one_step=True),
        "onnxruntime": Contestant(with_onnxruntime, "onnxruntime", needs=("onnx",)),
    },
    quick=("LSTM H=256 N=1",),
    units={"token": "s"},
)

if __name__ == "__main__":
    SUBJECT.main()

"""Latency of `examples/serve.py` against the same server on PyTorch: LSTM with H=256, vocabulary 100, on loopback.

Clients in a process on the other core each ask for 50 tokens, again and again. Both servers are the code of the
example; they differ in what advances a batch by one token: a compiled stream, or PyTorch's embedding, `nn.LSTM` and
linear layer in inference mode. Both must give the same probability of a text.
Run: python -m benchmarks.serving
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np

from benchmarks._harness import environment
from benchmarks._subject import OURS, Contestant, Subject
from benchmarks.sampling import E, H, V, weights

TOKENS = 50
LETTERS = "".join(map(chr, range(0x4E00, 0x4E00 + V - 3)))  # and three special tokens


def model() -> Any:
    """Return our language model with the weights of `sampling`."""
    from tinygrad_seq.train import LanguageModel

    w, found = weights(), LanguageModel(V, embedding_size=E, hidden_size=H, cell="lstm").eval()
    state = {"embedding.weight": w["E"], "decoder.weight": w["P"], "decoder.bias": w["p"]}
    state |= {"recurrent.cells.0.weight_ih": w["W"], "recurrent.cells.0.weight_hh": w["U"]}
    found.load_state_dict(state | {"recurrent.cells.0.bias_ih": w["b"], "recurrent.cells.0.bias_hh": 0 * w["b"]})
    return found


class TorchBatch:
    """What advances texts by one token, in PyTorch."""

    def __init__(self) -> None:
        import torch

        torch.set_num_threads(1)
        self.torch, self.count = torch, 0
        self.w = {name: torch.from_numpy(value) for name, value in weights().items()}
        self.lstm = torch.nn.LSTM(E, H)
        names = zip(self.lstm.state_dict(), ("W", "U", "b"), strict=False)
        self.lstm.load_state_dict({name: self.w[key] for name, key in names} | {"bias_hh_l0": torch.zeros(4 * H)})
        self.state = (torch.zeros(1, 1, H), torch.zeros(1, 1, H))

    def advance(self, tokens: list[int], rows: list[int | None]) -> np.ndarray:
        torch = self.torch
        with torch.inference_mode():
            if rows != [*range(self.count)]:
                begin = torch.zeros(1, H)
                picked = [[begin if row is None else part[:, row] for row in rows] for part in self.state]
                self.state = tuple([torch.stack(part, 1) for part in picked])
            self.count = len(tokens)
            x = torch.nn.functional.embedding(torch.tensor(tokens), self.w["E"])
            y, self.state = self.lstm(x[None], self.state)
            found: np.ndarray = torch.nn.functional.linear(y[0], self.w["P"], self.w["p"]).numpy()
        return found


def contestant(make_batch: Any, package: str = OURS) -> Contestant:
    def run(clients: int, budget: float) -> dict[str, Any]:
        import uvicorn

        from examples import serve
        from tinygrad_seq.data import Vocabulary

        vocabulary = Vocabulary.build([LETTERS], level="char")
        app = serve.make_app(make_batch(serve), vocabulary, "line")
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        command = [sys.executable, "-c", f"from benchmarks.serving import main; main({port}, {clients}, {budget})"]
        found = json.loads(subprocess.run(command, env=environment(1), capture_output=True, check=True).stdout)
        server.should_exit = True
        thread.join()
        whole, first = np.array(found["whole"]), np.array(found["first"])
        return {
            "check": {"log_probability": np.array(found["log_probability"])},
            "first token, p50": [float(np.percentile(first, 50))],
            "first token, p99": [float(np.percentile(first, 99))],
            "answer, p50": [float(np.percentile(whole, 50))],
            "answer, p99": [float(np.percentile(whole, 99))],
            "per token": [found["seconds"] / (TOKENS * len(whole))],
        }

    return Contestant(run, package, needs=("fastapi", "uvicorn"))


# ------------------------------------------------------------------------------------------------------ the clients


def main(port: int, clients: int, budget: float) -> None:
    """Run the clients in a process of its own; print what they saw."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(range(os.cpu_count() or 1))})
    print(json.dumps(asyncio.run(ask_all(port, clients, budget))))


async def ask_all(port: int, clients: int, budget: float) -> dict[str, Any]:
    body = await post(port, "/score", {"text": LETTERS[:20]})
    await asyncio.gather(*[sample(port, seed) for seed in range(clients)])
    end, found = time.perf_counter() + budget, list[tuple[float, float]]()

    async def client(seed: int) -> None:
        while time.perf_counter() < end:
            found.append(await sample(port, seed))

    start = time.perf_counter()
    await asyncio.gather(*map(client, range(clients)))
    first, whole = zip(*found, strict=True)
    log_p = json.loads(body)["log_probability"]
    return {"first": first, "whole": whole, "seconds": time.perf_counter() - start, "log_probability": log_p}


async def post(port: int, path: str, content: dict[str, Any]) -> str:
    """Return the body of an answer."""
    reader, writer = await connect(port, path, content)
    answer = (await reader.read()).decode()
    writer.close()
    return answer.partition("\r\n\r\n")[2]


async def sample(port: int, seed: int) -> tuple[float, float]:
    """Return the seconds to the first token, and to the last."""
    start = time.perf_counter()
    reader, writer = await connect(port, "/sample", {"length": TOKENS, "seed": seed})
    await reader.readuntil(b"data: ")
    first = time.perf_counter() - start
    answer = await reader.read()
    writer.close()
    if b"event: end" not in answer:
        raise RuntimeError(answer.decode())
    return first, time.perf_counter() - start


async def connect(port: int, path: str, content: dict[str, Any]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps(content)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{head}Connection: close\r\n\r\n{body}".encode())
    return reader, writer


SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases={f"{count} clients": count for count in (1, 16, 64)},
    contestants={
        OURS: contestant(lambda serve: serve.Streams(model())),
        "torch": contestant(lambda _: TorchBatch(), "torch"),
    },
    quick=("16 clients",),
    units={
        "first token, p50": "s",
        "first token, p99": "s",
        "answer, p50": "s",
        "answer, p99": "s",
        "per token": "s",
    },
    budget=2.0,
    rounds=2,
)

if __name__ == "__main__":
    SUBJECT.main()

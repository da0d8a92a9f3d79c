"""Serve a language model over HTTP: probabilities of texts, samples as server-sent events.

    request ──► job, a generator that asks for the logits after a token ──► waiting ──► running, up to 16 at once
                                                                                         │ one thread, one model:
    answer, pieces of text ◄── job ◄── its row of the logits ◄── one step of all running jobs ◄┘

Jobs join and leave between two steps; each has a state and a random generator of its own, so an answer does not depend
on who else asks. Make a model with `make demo`, then:

    pip install 'tinygrad-seq[examples]'
    python examples/serve.py runs/demo
    curl -X POST localhost:8000/score -H 'Content-Type: application/json' -d '{"text": "The apple and pear salad."}'
    curl -N -X POST localhost:8000/sample -H 'Content-Type: application/json' -d '{"prompt": "The ", "length": 50}'
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

import tinygrad_seq as ts
from tinygrad_seq.data import Vocabulary
from tinygrad_seq.errors import DataError
from tinygrad_seq.train import LanguageModel, Run
from tinygrad_seq.train.text import Writer

RUNNING, WAITING, CONNECTIONS = 16, 256, 1000
LONGEST_TEXT, LONGEST_SAMPLE, LARGEST_BODY = 2000, 1000, 32_768
Steps = Generator[int, np.ndarray, Any]
"""A job: yields the next token, is sent the logits after it, and returns its answer."""


# ------------------------------------------------------------------------------------------------------- the model


class Reader(ts.nn.Cell):
    """A whole language model as one cell, from tokens (N,) to logits (N, V)."""

    def __init__(self, model: LanguageModel) -> None:
        self.model, self.state_shape = model, _shapes(model.recurrent.initial_state(1))

    def forward(self, x: Any, state: Any) -> Any:
        logits, state = self.model(x[None], state)
        return logits[0], state


def _shapes(state: Any) -> Any:
    return tuple(map(_shapes, state)) if isinstance(state, tuple) else state.shape[1:]


def _pick(state: Any, first: Any, rows: list[int | None]) -> Any:
    """Return the rows of a state, and those of the first state for None."""
    if isinstance(first, tuple):
        return tuple([_pick(part, begin, rows) for part, begin in zip(state, first, strict=True)])
    return np.stack([first.numpy()[0] if row is None else state.numpy()[row] for row in rows])


class Streams:
    """Streams of one layer, for 1, 2, 4, ... texts that advance by one token each."""

    def __init__(self, model: LanguageModel) -> None:
        layer = ts.nn.Recurrent(Reader(model)).eval()
        self.first = layer.initial_state(1)
        self.streams = {1 << n: layer.stream(1 << n) for n in range(RUNNING.bit_length())}
        for size, stream in self.streams.items():  # compile now, not at the first request
            stream(np.zeros(size, np.int64))
        self.last, self.count = self.streams[1], 0

    def advance(self, tokens: list[int], rows: list[int | None]) -> np.ndarray:
        """Return the logits (N, V) after N tokens; `rows` are those of the last call to go on from, None to begin."""
        size = next(size for size in self.streams if size >= len(tokens))
        stream, empty = self.streams[size], size - len(tokens)
        if stream is not self.last or rows != [*range(self.count)]:
            stream.state = _pick(self.last.state, self.first, [*rows, *[None] * empty])
        self.last, self.count = stream, len(tokens)
        logits: np.ndarray = stream(np.array([*tokens, *[0] * empty])).numpy()
        return logits[: len(tokens)]


def scoring(tokens: np.ndarray) -> Steps:
    """Return log P of a text in nats."""
    total = 0.0
    for here, there in itertools.pairwise(tokens.tolist()):
        scores = (yield here).astype(np.float64)
        scores -= scores.max()
        total += scores[there] - np.log(np.exp(scores).sum())
    return total


def sampling(wish: Wish, tokens: np.ndarray, writer: Writer, emit: Callable[[str], Any]) -> Steps:
    """Emit the text of each token of the prompt, and of those that follow."""
    generator = np.random.default_rng(wish.seed)
    for token in tokens[1:].tolist():
        emit(writer.write(token))
    for token in tokens.tolist():
        logits = yield token
    for left in reversed(range(wish.length)):
        scores, uniform = logits.copy(), generator.random() if wish.temperature else 0.0
        scores[writer.hidden] = -np.inf
        token = int(ts.categorical(scores, np.array(uniform), wish.temperature, wish.top_k).item())
        emit(writer.write(token))
        if left:
            logits = yield token
    return None


class Job:
    """A request at work: what it has to say, and at its end the answer, or an exception."""

    def __init__(self) -> None:
        self.text, self.done, self.left = "", False, False
        self.answer: Any = None
        self.news = asyncio.Event()
        self.row: int | None = None
        self.token = 0

    def begin(self, steps: Steps) -> None:
        self.steps, self.token = steps, next(steps)

    def emit(self, piece: str) -> None:
        self.text += piece

    def advance(self, logits: np.ndarray) -> None:
        try:
            self.token = self.steps.send(logits)
        except StopIteration as stop:
            self.finish(stop.value)
        except Exception as error:  # noqa: BLE001 (the request gets it, the others go on)
            self.finish(error)

    def finish(self, answer: Any) -> None:
        self.answer, self.done = answer, True

    async def pieces(self) -> AsyncIterator[str]:
        """Yield the text as it comes; what has come meanwhile is one piece."""
        sent = 0
        while not self.done or sent < len(self.text):
            await self.news.wait()
            self.news.clear()
            text = self.text
            if sent < len(text):
                yield text[sent:]
            sent = len(text)


class Worker:
    """The thread that advances all running jobs."""

    def __init__(self, batch: Streams) -> None:
        self.batch, self.closed = batch, False
        self.waiting: deque[Job] = deque()
        self.running: list[Job] = []
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._work, daemon=True)

    def submit(self, job: Job, steps: Steps) -> None:
        if len(self.waiting) >= WAITING:
            raise HTTPException(503, "busy: try again in a second", {"Retry-After": "1"})
        job.begin(steps)
        with self.changed:
            self.waiting.append(job)
            self.changed.notify()

    def start(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.thread.start()

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify()
        self.thread.join()

    def _work(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.running or self.waiting or self.closed)
                if self.closed:
                    return
                while self.waiting and len(self.running) < RUNNING:
                    self.running.append(self.waiting.popleft())
            self._step(jobs := self.running)
            self.running = [job for job in jobs if not (job.done or job.left)]
            self.loop.call_soon_threadsafe(_tell, jobs)

    def _step(self, jobs: list[Job]) -> None:
        """Advance some jobs by one token."""
        try:
            logits = self.batch.advance([job.token for job in jobs], [job.row for job in jobs])
        except Exception as error:  # noqa: BLE001 (these requests get it, later ones begin anew)
            for job in jobs:
                job.finish(error)
            return
        for row, (job, scores) in enumerate(zip(jobs, logits, strict=True)):
            job.row = row
            job.advance(scores)


def _tell(jobs: list[Job]) -> None:
    for job in jobs:
        job.news.set()


# ------------------------------------------------------------------------------------------------------------ HTTP


class Question(BaseModel):
    """A text to score."""

    model_config = ConfigDict(strict=True, extra="forbid")
    text: str = Field(min_length=1, max_length=LONGEST_TEXT)


class Wish(BaseModel):
    """A text to write."""

    model_config = ConfigDict(strict=True, extra="forbid")
    prompt: str = Field("", max_length=LONGEST_TEXT)
    length: int = Field(200, ge=1, le=LONGEST_SAMPLE)
    temperature: float = Field(0.8, ge=0, le=10, allow_inf_nan=False)
    top_k: int | None = Field(None, ge=1, lt=2**31)
    seed: int | None = Field(None, ge=0, lt=2**31)


class Score(BaseModel):
    """A score: log P in nats, of how many tokens."""

    log_probability: float
    tokens: int


def make_app(batch: Streams, vocabulary: Vocabulary, unit: str) -> FastAPI:
    """Return the server of a model as an ASGI application."""
    worker = Worker(batch)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:  # noqa: ARG001
        gc.collect()
        gc.freeze()  # what is loaded now stays: looking through it took 60 ms from time to time
        worker.start()
        yield
        worker.close()

    told = {400: "unknown words or characters", 413: "too large", 503: "busy"}
    responses: dict[int | str, dict[str, Any]] = {status: {"description": text} for status, text in told.items()}
    app = FastAPI(title="tinygrad_seq", lifespan=lifespan, max_body_size=LARGEST_BODY)

    def encode(text: str, eos: bool) -> np.ndarray:
        try:
            return np.concatenate([[vocabulary.eos], vocabulary.encode(text, eos=eos, strict=True)])
        except DataError as error:
            raise HTTPException(400, str(error)) from None

    @app.exception_handler(RequestValidationError)
    async def refuse(request: Request, error: RequestValidationError) -> Response:  # noqa: ARG001
        """Say what is wrong, without the input, which may be no JSON."""
        details = [{key: fault[key] for key in ("loc", "msg", "type")} for fault in error.errors()]
        body = TypeAdapter(Any).dump_json({"detail": details}, ensure_ascii=True)
        return Response(body, 422, media_type="application/json")

    @app.get("/health")
    async def health() -> dict[str, int]:
        return {"running": len(worker.running), "waiting": len(worker.waiting)}

    @app.post("/score", responses=responses)
    async def score(question: Question) -> Score:
        job, tokens = Job(), encode(question.text, eos=True)
        worker.submit(job, scoring(tokens))
        async for _ in job.pieces():
            pass
        if isinstance(job.answer, Exception):
            raise job.answer
        return Score(log_probability=job.answer, tokens=len(tokens) - 1)

    async def admitted(wish: Wish) -> AsyncIterator[Job]:  # its errors come before the first event
        job, tokens = Job(), encode(wish.prompt, eos=False)
        worker.submit(job, sampling(wish, tokens, Writer(vocabulary, unit), job.emit))
        try:
            yield job
        finally:
            job.left = True

    @app.post("/sample", responses=responses, response_class=EventSourceResponse)
    async def sample(job: Job = Depends(admitted)) -> AsyncIterator[ServerSentEvent]:  # noqa: B008 (as FastAPI wants it)
        async for piece in job.pieces():
            yield ServerSentEvent(data=piece)
        failed = isinstance(job.answer, Exception)
        yield ServerSentEvent(event="error" if failed else "end", data=str(job.answer) if failed else "")

    return app


def main(folder: Path, port: int, precision: str) -> None:
    """Serve the model of a run."""
    run = Run.open(folder)
    model = run.model if precision == "float32" else ts.quantize(run.model, precision)
    app = make_app(Streams(model), run.vocabulary, run.config.unit)
    uvicorn.run(app, port=port, limit_concurrency=CONNECTIONS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the run folder, as given to tinygrad-seq train --out")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--precision", choices=["float32", "int8", "bfloat16"], default="float32")
    arguments = parser.parse_args()
    main(arguments.run, arguments.port, arguments.precision)

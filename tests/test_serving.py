"""`examples/serve.py` over real HTTP on loopback: right answers, bad input, slow and lost clients, many at once."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_seq as ts
from tests.test_examples import load
from tinygrad_seq.data import Vocabulary
from tinygrad_seq.train import LanguageModel
from tinygrad_seq.train.text import Writer

uvicorn = pytest.importorskip("uvicorn", reason="needs the extra 'examples'")
pytest.importorskip("fastapi", reason="needs the extra 'examples'")
serve: Any = load("serve")

LETTERS = "the quick brown fox jumps over a lazy dog"
VOCABULARY = Vocabulary.build([LETTERS], level="char")
TEXTS = ["the dog", "a", "fox over fox", LETTERS]


class Hindered(serve.Streams):
    """The streams of the example, which may be slow or fail."""

    delay, failures = 0.0, 0

    def advance(self, tokens: list[int], rows: list[int | None]) -> np.ndarray:
        time.sleep(self.delay)
        if self.failures:
            self.failures -= 1
            raise MemoryError("planted")
        return super().advance(tokens, rows)


class Server:
    """The server in a thread of this process."""

    def __init__(self) -> None:
        ts.manual_seed(0)
        self.model = LanguageModel(len(VOCABULARY), 8, 12).eval()
        self.batch = Hindered(self.model)
        app = serve.make_app(self.batch, VOCABULARY, "line")
        options = {"log_level": "critical", "ws": "none", "limit_concurrency": serve.CONNECTIONS}
        self.uvicorn = uvicorn.Server(uvicorn.Config(app, port=0, **options))
        self.thread = threading.Thread(target=self.uvicorn.run)

    def __enter__(self) -> Server:
        self.thread.start()
        until(lambda: self.uvicorn.started)
        self.port = self.uvicorn.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self.uvicorn.should_exit = True
        self.thread.join(30)
        assert not self.thread.is_alive()

    def ask(self, path: str, body: Any = None, method: str = "POST") -> tuple[int, str]:
        """Return the status and the body of a response; `body` is sent as JSON unless it is bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, content, {"Content-Type": "application/json"})
        response = connection.getresponse()
        found = response.status, response.read().decode()
        connection.close()
        return found

    def health(self) -> dict[str, int]:
        status, body = self.ask("/health", method="GET")
        assert status == 200
        return json.loads(body)

    def connect(self, path: str, body: Any) -> socket.socket:
        """Return a connection on which a request has been sent, and nothing read."""
        content = json.dumps(body)
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall(request(path, content))
        return connection

    def score(self, text: str) -> float:
        row = np.concatenate([[VOCABULARY.eos], VOCABULARY.encode(text, eos=True)])
        return float(self.model.log_probability(row).sum())

    def sample(self, prompt: str, length: int, seed: int, temperature: float = 0.8, top_k: int | None = None) -> str:
        writer, context = Writer(VOCABULARY, "line"), np.concatenate([[VOCABULARY.eos], VOCABULARY.encode(prompt)])
        tokens = self.model.sample(
            context,
            temperature=temperature,
            top_k=top_k,
            generator=np.random.default_rng(seed),
            exclude=writer.hidden,
        )
        return "".join(map(writer.write, itertools.chain(context[1:].tolist(), itertools.islice(tokens, length))))


def until(happens: Any) -> None:
    end = time.monotonic() + 20
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.01)


def request(path: str, content: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return f"{head}Connection: close\r\n\r\n{content}".encode()


def text_of(events: str) -> str:
    """Return the text of a stream of events that has come to its end."""
    assert "event: end\n" in events, events
    data = [line.removeprefix("data: ") for line in events.splitlines() if line.startswith("data: ")]
    return "".join(map(json.loads, data))


def read_all(connection: socket.socket) -> str:
    with connection:
        return b"".join(iter(lambda: connection.recv(65_536), b"")).decode()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture(autouse=True)
def still_up(server) -> Iterator[None]:
    """After each test the server answers, and nothing is left at work."""
    yield
    server.batch.delay = server.batch.failures = 0
    until(lambda: server.health() == {"running": 0, "waiting": 0})
    assert server.ask("/score", {"text": "a"})[0] == 200


def test_answers_are_those_of_the_library(server):
    for text in TEXTS:
        status, body = server.ask("/score", {"text": text})
        assert status == 200
        assert json.loads(body) == {"log_probability": pytest.approx(server.score(text)), "tokens": len(text) + 1}
    for wish in (
        {"prompt": "the ", "length": 30, "seed": 1},
        {"prompt": "", "length": 1, "seed": 2, "top_k": 3},
        {"prompt": "a", "length": 40, "seed": 3, "temperature": 0},
    ):
        status, events = server.ask("/sample", wish)
        assert status == 200
        assert text_of(events) == server.sample(**wish)
    assert server.ask("/sample", {})[0] == 200


def test_200_connections_at_once(server):
    """All are open at the same time; the answers do not depend on the others."""
    scores = {text: server.score(text) for text in TEXTS}
    samples = {seed: server.sample("the ", 10 + seed, seed) for seed in range(5)}
    rng = np.random.default_rng(0)

    async def ask(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.sleep(rng.random() / 10)
        text, seed = TEXTS[number % 4], number % 5
        if number % 2:
            writer.write(request("/score", json.dumps({"text": text})))
        else:
            writer.write(request("/sample", json.dumps({"prompt": "the ", "length": 10 + seed, "seed": seed})))
        answer = (await reader.read()).decode()
        assert answer.startswith("HTTP/1.1 200")
        if number % 2:
            assert json.loads(answer.splitlines()[-1])["log_probability"] == pytest.approx(scores[text])
        else:
            assert text_of(answer) == samples[seed]
        writer.close()
        await writer.wait_closed()

    async def ask_all() -> None:
        await asyncio.gather(*map(ask, range(200)))

    asyncio.run(ask_all())


BAD = {
    "no JSON": b"{",
    "no UTF-8": b"\xff\xfe",
    "deep": b"[" * 5000,
    "a list": [],
    "nothing": {},
    "empty": {"text": ""},
    "a number": {"text": 1},
    "not a number": b'{"text": NaN}',
    "half a character": b'{"text": "\\ud800"}',
    "half a character as key": b'{"text": "a", "\\ud800": 1}',
    "unknown character": {"text": "\N{SNOWMAN}"},
    "unknown key": {"text": "a", "more": 1},
    "long": {"text": "a" * 2001},
    "huge": {"text": "a" * 100_000},
}
BAD_WISHES = [
    {"prompt": 1}, {"prompt": "\N{SNOWMAN}"}, {"length": 0}, {"length": 1001}, {"length": True}, {"length": "5"},
    {"temperature": -1}, {"temperature": 1e9}, {"temperature": float("inf")}, {"temperature": float("nan")},
    {"top_k": 0}, {"top_k": 2**31}, {"seed": -1}, {"seed": 1.5},
]  # fmt: skip


def test_bad_input_is_refused(server):
    for name, body in BAD.items():
        status, _ = server.ask("/score", body)
        assert status == 413 if name == "huge" else status in (400, 422), name
    for wish in BAD_WISHES:
        assert server.ask("/sample", wish)[0] in (400, 422), wish
    assert server.ask("/score", {"text": "a"}, method="PUT")[0] == 405
    assert server.ask("/nothing", {})[0] == 404


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)


def values_of(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return values that a property of the OpenAPI schema allows, of texts those of known letters, samples short."""
    if "anyOf" in schema:
        return st.one_of([*map(values_of, schema["anyOf"])])
    least, most = schema.get("minimum", 0), schema.get("maximum", schema.get("exclusiveMaximum", 1) - 1)
    return {
        "string": lambda: st.text("abcde ", min_size=schema.get("minLength", 0), max_size=8),
        "integer": lambda: st.integers(least, min(most, 9)),
        "number": lambda: st.floats(least, most),
        "null": st.none,
    }[schema["type"]]()


@settings(max_examples=25)
@given(data=st.data())
def test_requests_drawn_from_the_schema(server, data):
    document = json.loads(server.ask("/openapi.json", method="GET")[1])
    path = data.draw(st.sampled_from(["/score", "/sample"]))
    name = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schema = document["components"]["schemas"][name.rsplit("/", 1)[1]]
    required = schema.get("required", [])
    wrong = data.draw(st.sampled_from([None, None, *schema["properties"], "unknown"]))
    body = {key: data.draw(values_of(part)) for key, part in schema["properties"].items() if key != wrong}
    if wrong is not None and data.draw(st.booleans()):
        body[wrong] = data.draw(JSON)
    status, answer = server.ask(path, json.dumps(body).encode())
    assert status in ((200,) if wrong is None else (200, 400, 422)), answer
    assert status != 200 or body.keys() >= {*required}


# ------------------------------------------------------------------------------------------- clients that misbehave


def test_slow_clients_delay_nobody(server):
    idle = socket.create_connection(("127.0.0.1", server.port))
    idle.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Le")
    wish = {"prompt": "the ", "length": 200, "seed": 4}
    slow = [server.connect("/sample", wish) for _ in range(8)]
    start = time.monotonic()
    assert server.ask("/score", {"text": "the dog"})[0] == 200
    assert time.monotonic() - start < 20
    expected = server.sample(**wish)
    for connection in slow:
        assert connection.recv(20)
    assert all(text_of(read_all(connection)) == expected for connection in slow)
    idle.close()


def test_who_disconnects_is_dropped(server):
    server.batch.delay = 0.02  # 20 s for a whole sample
    connections = [server.connect("/sample", {"length": 1000, "prompt": "a"}) for _ in range(3)]
    for connection in connections:
        connection.recv(20)
    until(lambda: server.health()["running"] == 3)
    for connection in connections:
        connection.close()
    start = time.monotonic()
    until(lambda: server.health() == {"running": 0, "waiting": 0})
    assert time.monotonic() - start < 15


def test_who_comes_while_it_is_full_is_sent_away(server, monkeypatch):
    monkeypatch.setattr(serve, "WAITING", 0)
    for path, body in (("/score", {"text": "a"}), ("/sample", {})):
        connection = server.connect(path, body)
        answer = read_all(connection)
        assert answer.startswith("HTTP/1.1 503")
        assert "retry-after: 1" in answer.lower()
    assert server.health() == {"running": 0, "waiting": 0}
    monkeypatch.undo()


def test_a_failure_is_that_of_the_requests_at_work(server):
    server.batch.failures = 1
    assert server.ask("/score", {"text": "a"})[0] == 500
    server.batch.failures = 1
    status, events = server.ask("/sample", {"length": 3})
    assert status == 200
    assert "event: error" in events
    assert text_of(server.ask("/sample", {"length": 9, "seed": 0})[1]) == server.sample("", 9, 0)

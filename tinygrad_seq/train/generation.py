"""Text generation: one compiled loop samples blocks of tokens, which are yielded one by one.

The loop runs ahead of the consumer, so it needs random numbers that have not been drawn yet. It predicts them with a
copy of the generator; each number is drawn when its token is yielded, so k tokens draw k numbers. If other code draws
from the generator in between, the prediction is wrong, and the loop reruns from its earlier state.

    uniforms   u0   u1   u2         predicted with a copy of the generator
    loop     ──►x──►x──►x──►
    tokens      t0   t1   t2        t1 is yielded when u1 is drawn, provided that the prediction was right
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autograd.tensor import Tensor
from ..base import settings
from ..base.modes import no_grad, quiet
from ..base.tree import Tree
from ..functional import categorical, where
from ..nn import evaluating

MOST_LOGITS = 1 << 21
"""How many logits of a known text are computed at once, which bounds the memory."""

LONGEST = 64
"""The maximum block length in tokens; the first block has one token, and each further block has twice as many."""


def generate(
    model: Any,
    prompt: NDArray[Any],
    temperature: float,
    top_k: int | None,
    generator: np.random.Generator | None,
    exclude: Sequence[int],
) -> Iterator[int]:
    """Yield tokens that continue `prompt`, without end; the arguments are those of `LanguageModel.sample`."""
    write = _writer(model, prompt, temperature, top_k, exclude)
    length = 1
    while True:
        start = write.carry
        uniforms = np.zeros(length)
        if temperature:
            uniforms = quiet().run(copy.deepcopy, settings.generator(generator)).random(length)
        tokens = _run(write, uniforms)
        length = min(2 * length, LONGEST)
        for n, token in enumerate(tokens):
            if temperature:
                drawn = settings.generator(generator).random()
                if drawn != uniforms[n]:
                    write.carry, uniforms[n], length = start, drawn, 1
                    yield _run(write, uniforms[: n + 1])[n]
                    break
            yield token


def _writer(model: Any, prompt: NDArray[Any], temperature: float, top_k: int | None, exclude: Sequence[int]) -> Any:
    """Return a stepper from uniform numbers to tokens; it has read `prompt` except for its last token."""
    from ..scan.stepper import make_stepper  # the compiler is imported on first use

    excluded = np.zeros(model.vocabulary_size, bool)
    excluded[list(exclude)] = True

    def step(carry: Tree, uniform: Tensor) -> tuple[Tree, Tensor]:
        token, state = carry
        with evaluating(model):
            logits, state = model(token[None], state)
        token = categorical(where(excluded, -np.inf, logits[0]), uniform, temperature, top_k)
        return (token, state), token

    state = model.recurrent.initial_state(1)
    known = prompt[:-1, None]
    window = max(1, MOST_LOGITS // model.vocabulary_size)
    with evaluating(model), no_grad():
        for begin in range(0, len(known), window):
            _, state = model(known[begin : begin + window], state)
    return make_stepper(step, (np.asarray(prompt[-1:], np.int64), state), np.zeros(1), LONGEST)


def _run(write: Any, uniforms: NDArray[np.float64]) -> list[int]:
    tokens: list[int] = write.run([uniforms[:, None]]).numpy()[:, 0].tolist()
    return tokens

"""``tinygrad-seq score``."""

from __future__ import annotations

import math
import sys
from typing import Annotated

import numpy as np
import typer

from ..errors import DataError
from ..train.run import Run
from .arguments import Checkpoint, Folder, examples

EXAMPLES = examples(
    'score runs/demo "the apple and pear salad" "the apple and pair salad"',
    "score runs/demo < sentences.txt",
)


def score(
    run: Folder,
    sentences: Annotated[
        list[str] | None,
        typer.Argument(help="The sentences; by default they are read from standard input, one per line."),
    ] = None,
    checkpoint: Checkpoint = None,
) -> None:
    """Rank sentences by probability.

    P(sentence) is the probability that a unit of the text (paragraph, line or document, as trained) is this sentence:
    it starts after <EOS>, and the <EOS> that ends it counts as a token. log P is in nats.
    """
    texts = sentences or [line.rstrip("\n") for line in sys.stdin or () if line.strip()]
    opened = Run.open(run)
    vocabulary = opened.vocabulary
    rows = []
    for text in texts:
        if not text.strip():
            raise DataError("score: expected sentences, got a blank one; leave it out.")
        rows.append((text, np.concatenate([[vocabulary.eos], vocabulary.encode(text, eos=True, strict=True)])))
    if not rows:
        raise DataError("score: expected at least one sentence, got none; pass it in quotes.")
    model, _ = opened.load_model(checkpoint)
    scored = [(float(model.log_probability(tokens).sum()), len(tokens) - 1, text) for text, tokens in rows]
    scored.sort(key=lambda row: -row[0])
    best = scored[0][0]
    sys.stdout.write(f"{'rank':>4}  {'log P':>9}  {'perplexity':>10}  {'tokens':>6}  {'P / best':>9}  sentence\n")
    for rank, (log_p, tokens, text) in enumerate(scored, 1):
        perplexity = math.exp(min(-log_p / tokens, 700.0))
        sys.stdout.write(
            f"{rank:>4}  {log_p:>9.2f}  {perplexity:>10.2f}  {tokens:>6}  {math.exp(log_p - best):>9.2g}  {text}\n"
        )

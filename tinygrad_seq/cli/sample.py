"""``tinygrad-seq sample``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..train.run import Run
from .arguments import Checkpoint, Folder, Precision, Trust, examples

EXAMPLES = examples(
    "sample runs/demo",
    'sample runs/demo --prompt "The cat" --temperature 0.5 --length 300',
    "sample runs/demo --top-k 5 --seed 7",
)


def sample(
    run: Folder,
    prompt: Annotated[str, typer.Option(help="The text to continue.")] = "",
    length: Annotated[int, typer.Option(help="Number of tokens to generate.")] = 500,
    temperature: Annotated[
        float,
        typer.Option(
            help="1 samples from the model's own probabilities, less is more predictable, more is more random; 0 "
            "always takes the most probable token."
        ),
    ] = 0.8,
    top_k: Annotated[
        int | None, typer.Option(help="Sample from the k most probable tokens only.", show_default="all")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same text.", show_default="random")] = None,
    checkpoint: Checkpoint = None,
    precision: Precision = "float32",
    trust: Trust = False,
) -> None:
    """Generate text with a trained model."""
    opened = Run.open(run, trust=trust)
    pieces = opened.stream(
        prompt,
        length=length,
        temperature=temperature,
        top_k=top_k,
        seed=seed,
        checkpoint=checkpoint,
        precision=precision,
    )
    try:
        for piece in pieces:
            sys.stdout.write(piece)
            sys.stdout.flush()
    finally:  # also after Ctrl-C
        sys.stdout.write("\n")

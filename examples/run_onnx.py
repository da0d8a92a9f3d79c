"""Train a recurrent cell of your own here, export it to ONNX, and stream text from it where this package is not.

    python examples/run_onnx.py                      # train, export, then stream in a process without this package
    python examples/run_onnx.py model.onnx "The "    # stream from a file of: tinygrad-seq export RUN model.onnx --step

`stream` needs NumPy and onnxruntime only: copy it into your own program. Each call of the model takes one token and the
state, and returns the logits of the next token and the new state. The file holds the vocabulary.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


def stream(path: str, prompt: str, length: int) -> Iterator[str]:
    """Yield the most probable characters that continue a prompt."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    tokens = json.loads(session.get_modelmeta().custom_metadata_map["vocabulary"])["tokens"]
    index = {token: number for number, token in enumerate(tokens)}
    outputs = [output.name for output in session.get_outputs()]
    given = [index["<EOS>"], *[index.get(character, index["<UNK>"]) for character in prompt]]
    likely, state = 0, dict[str, Any]()  # the file starts from its initial state if it is given none
    for number in range(len(given) - 1 + length):
        token = given[number] if number < len(given) else likely
        found = dict(zip(outputs, session.run(outputs, {"tokens": np.array([token]), **state}), strict=True))
        state = {name.removeprefix("new_"): array for name, array in found.items() if name.startswith("new_")}
        logits = found["output"][0]
        logits[[index["<PAD>"], index["<UNK>"]]] = -np.inf
        likely = int(logits.argmax())
        if number >= len(given) - 1:
            yield "\n" if tokens[likely] == "<EOS>" else tokens[likely]


def train(path: Path, steps: int) -> str:
    """Train a language model with a cell of your own, export one step of it, and return what it writes here."""
    import tinygrad_seq as ts
    from tinygrad_seq.data import Vocabulary, Windows
    from tinygrad_seq.data.demo_text import demo_text
    from tinygrad_seq.train import LanguageModel, TrainingSteps

    class NormedCell(ts.nn.Cell):
        """A gated cell with layer norm: z, n = split(LN(W [x; h] + b)), h' = z * h + (1 - z) * tanh(n)."""

        def __init__(self, input_size: int, hidden_size: int) -> None:
            self.input_size, self.state_shape = input_size, (hidden_size,)
            self.sums = ts.nn.Linear(input_size + hidden_size, 2 * hidden_size)
            self.norm = ts.nn.LayerNorm(2 * hidden_size)

        def forward(self, x: ts.Tensor, h: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
            gate, new = ts.split(self.norm(self.sums(ts.concat([x, h], axis=-1))), 2, axis=-1)
            gate = gate.sigmoid()
            h = gate * h + (1 - gate) * new.tanh()
            return h, h

    ts.manual_seed(0)
    lines = demo_text().splitlines()
    vocabulary = Vocabulary.build(lines, level="char")
    text = np.concatenate([vocabulary.encode(line, eos=True) for line in lines])
    model = LanguageModel(len(vocabulary), 16, 64, cell=NormedCell)
    windows = Windows(text, batch_size=16, window=32)
    adam = ts.optim.Adam(model.parameters(), lr=1e-2)
    for step in TrainingSteps(model, windows, adam, clip_norm=1.0, loss=model.loss):
        if step.number % 50 == 0:
            print(f"step {step.number}: loss {step.loss:.3f}")
        if step.number == steps:
            break
    model.eval()
    tokens = np.arange(len(vocabulary) // 2 * 2).reshape(-1, 2)
    metadata = {"vocabulary": json.dumps(vocabulary.content())}
    ts.interop.to_onnx(model, path, tokens, state=model.recurrent.initial_state, step=True, metadata=metadata)
    start = [vocabulary.eos, *vocabulary.encode("The ")]
    likely = model.sample(start, temperature=0, exclude=[vocabulary.pad, vocabulary.unk])
    found = [next(likely) for _ in range(60)]
    return "".join(["\n" if token == vocabulary.eos else vocabulary.token(token) for token in found])


def main(short: bool = False) -> tuple[str, str]:
    """Return what the model writes here, and in onnxruntime."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        here = train(path, 10 if short else 300)
        program = (  # in this process the package cannot be imported
            "import runpy, sys; sys.modules['tinygrad_seq'] = None; sys.argv.pop(0); "
            "runpy.run_path(sys.argv[0], None, '__main__')"
        )
        command = [sys.executable, "-c", program, __file__, str(path), "The "]
        there = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    print(f"here:                The {here!r}\nwithout the package: The {there!r}")
    return here, there


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", help="a file to stream from")
    parser.add_argument("prompt", nargs="?", default="")
    parser.add_argument("--short", action="store_true", help="train for a few seconds only, as a smoke test")
    options = parser.parse_args()
    if options.path is None:
        main(options.short)
    else:
        sys.stdout.writelines(stream(options.path, options.prompt, 60))

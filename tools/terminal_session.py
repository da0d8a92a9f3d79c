"""Run a few commands in a terminal and draw it: ``python -m tools.terminal_session`` writes docs/session.svg.

The commands run in a pseudo-terminal, so that their output has the colours and the final state of the progress bar that
a person sees. The picture loads nothing: it names fonts that systems have.
"""

from __future__ import annotations

import io
import os
import pty
import re
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT  # the template that `export_svg` takes, which names web fonts
from rich.console import Console
from rich.text import Text

OUT = Path(__file__).resolve().parent.parent / "docs" / "session.svg"
WIDTH = 92
COMMANDS = (
    "train --corpus demo --level word --unit line --steps 400 --evaluate-every 200 --sample-length 30 --out runs/demo",
    'sample runs/demo --prompt "The cat" --length 30 --seed 3',
    'score runs/demo "The apple and pear salad." "The apple and pair salad."',
)
_CODE = re.compile(r"\r|\n|\x1b\[1A|\x1b\[2K|\x1b\[\?25[lh]")


def run(command: str) -> str:
    """Return what `tinygrad-seq` with these arguments writes to a terminal."""
    parts: list[bytes] = []

    def read(terminal: int) -> bytes:
        parts.append(os.read(terminal, 65536))
        return parts[-1]

    sys.stdout.flush()
    line = f"stty cols {WIDTH} rows 40; exec {sys.executable} -m tinygrad_seq {command}"
    status = pty.spawn(["sh", "-c", line], read)
    if status:
        raise SystemExit(f"terminal_session: {command!r} failed")
    return b"".join(parts).decode()


def screen(text: str) -> list[str]:
    """Return the lines that a terminal shows in the end, colours included: a line may be erased and written again."""
    lines, row, position = [""], 0, 0
    for match in _CODE.finditer(text + "\n"):
        lines[row] += text[position : match.start()]
        position = match.end()
        if match[0] == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif match[0] == "\x1b[1A":
            row -= 1
        elif match[0] == "\x1b[2K":
            lines[row] = ""
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def draw(session: list[tuple[str, list[str]]]) -> str:
    """Return commands with their output as an SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    for number, (command, lines) in enumerate(session):
        if number:
            console.print()
        console.print(Text.assemble(("$ ", "green"), (f"tinygrad-seq {command}", "bold")))
        for line in lines:
            console.print(Text.from_ansi(line))
    form = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    form = form.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace")
    return console.export_svg(title="tinygrad-seq", code_format=form, unique_id="session")


def main() -> None:
    os.environ["PYTHONPATH"] = str(OUT.parent.parent)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        session = [(command, screen(run(command))) for command in COMMANDS]
    OUT.write_text(draw(session), encoding="utf-8")


if __name__ == "__main__":
    main()

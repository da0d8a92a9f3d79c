"""The demo of the Makefile, with a smaller model."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.cli.commands import process
from tinygrad_seq.cli import main

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_ranks_every_pair_right_and_writes_its_picture(tmp_path: Path) -> None:
    recipe = re.search(r"^demo:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert recipe is not None
    commands = [line.replace("runs/demo", str(tmp_path)) for line in recipe[1].splitlines()]
    train, info, sample, score = (shlex.split(line)[1:] for line in commands)
    smaller = ["--steps", "250", "--hidden", "96", "--window", "32", "--lr", "0.01", "--evaluate-every", "250"]
    assert main([*train, *smaller]) == 0
    assert main(info) == 0
    assert Path(info[-1]).read_bytes().startswith(b"\x89PNG")
    assert main(sample) == 0
    assert score[-2] == "<"
    with (ROOT / score[-1]).open("rb") as pairs:
        running = process(*score[:-2], stdin=pairs)
        out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (0, "")
    best = re.findall(r"^ *1 .* 1  (.*)$", out, re.MULTILINE)
    rights = [pair.split("\n")[0] for pair in (ROOT / score[-1]).read_text(encoding="utf-8").split("\n\n")]
    assert len(best) == len(rights) == 12
    assert best[:10] == rights[:10]  # was and were, the last two pairs, take the steps of the whole demo

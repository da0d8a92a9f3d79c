"""A mutant: one plausible fault, as a replacement of text in one file, and the tests that must see it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent


class Mutant(NamedTuple):
    """One fault.

    Attributes
    ----------
    name
        What is wrong, in a few words.
    file
        Path below the package.
    old, new
        The text to replace, which occurs once in the file, and what replaces it.
    tests
        Arguments of pytest: the tests that are meant to fail.
    survives
        Why no test can fail, for a change that does no harm; empty for a fault.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    survives: str = ""

    def applied(self, root: Path = ROOT) -> str:
        """Return the text of the file with the fault; raises ValueError unless `old` occurs exactly once."""
        text = (root / "tinygrad_seq" / self.file).read_text(encoding="utf-8")
        count = text.count(self.old)
        if count != 1 or self.old == self.new:
            raise ValueError(f"{self.name}: expected {self.old!r} once in {self.file}, found it {count} times")
        return text.replace(self.old, self.new)

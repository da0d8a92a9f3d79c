"""`Certificate`, the result of `verify`: printable, convertible to JSON, or raised as an error."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..errors import VerificationError

Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Parameters
    ----------
    name : str
        What should equal what.
    status : str
        ``"passed"``, ``"failed"`` or ``"skipped"``.
    worst : float or None
        The largest difference, relative to the largest element of the array; None if nothing was compared.
    tolerance : float or None
        The largest difference allowed; 0 if bits are compared.
    where : str
        The position of the largest difference: array, time, batch element, index.
    detail : str
        The value found and the value expected, the error that stopped the check, or the reason why it was skipped.
    smallest : str
        For a failed check, the smallest sizes for which it fails, as arguments of `verify`, and the difference there.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> certificate = ts.verify(ts.nn.MGUCell(2, 3), level="short", compile=False)
    >>> check = certificate["row alone == row in a batch"]
    >>> check.status, check.worst <= check.tolerance
    ('passed', True)
    """

    name: str
    status: Status
    worst: float | None = None
    tolerance: float | None = None
    where: str = ""
    detail: str = ""
    smallest: str = ""


@dataclass(frozen=True)
class Certificate:
    """The results of all checks of a cell, layer, step or module; see `verify`.

    Attributes
    ----------
    subject : str
        The name of the object that was checked.
    level : str
        ``"short"`` or ``"full"``.
    T, N : int
        The sequence length and the batch size.
    seed : int
        The seed of the data.
    checks : tuple of Check
        The result of each check.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> certificate = ts.verify(ts.nn.MGUCell(2, 3), level="short", compile=False)
    >>> certificate.passed
    True
    >>> certificate["gradients == finite differences"].status
    'passed'
    """

    subject: str
    level: str
    T: int
    N: int
    seed: int
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.status == "failed")

    def __getitem__(self, name: str) -> Check:
        """Return the check with the given name."""
        return next(check for check in self.checks if check.name == name)

    def raise_on_failure(self) -> None:
        """Raise an error if a check failed.

        Raises
        ------
        VerificationError
            If a check failed; the message has the first failed check and its smallest failing case.
        """
        if self.passed:
            return
        first, *others = self.failures
        also = f" ({len(others)} more failed: {', '.join(repr(check.name) for check in others)})" if others else ""
        raise VerificationError(
            f"verify: expected {self.subject} to pass {first.name!r}, got {_reason(first)}; smallest failing case: "
            f"{first.smallest}{also}. Start from that case."
        )

    def to_json(self) -> str:
        """Return the certificate as JSON; numbers that are not finite become strings, e.g. ``"inf"``."""

        def plain(value: Any) -> Any:
            return str(value) if isinstance(value, float) and not math.isfinite(value) else value

        facts = asdict(self)
        facts["checks"] = [{key: plain(value) for key, value in check.items()} for check in facts["checks"]]
        return json.dumps({"passed": self.passed, **facts}, indent=2)

    def table(self) -> str:
        """Return the certificate as plain text, one line per check."""
        width = max((len(check.name) for check in self.checks), default=0)
        lines = [f"{self.subject}: {self._verdict()}"]
        lines += [
            f"  {check.name:<{width}}  {check.status:<7}  {_figures(check):<22}  {_remark(check)}".rstrip()
            for check in self.checks
        ]
        return "\n".join([*lines, *self._smallest()])

    __str__ = table

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.markup import escape
        from rich.table import Table

        table = Table(title=f"{escape(self.subject)}: {self._verdict()}", title_justify="left")
        for heading in ("check", "status", "worst (allowed)", "where"):
            table.add_column(heading, overflow="fold")
        colours = {"passed": "green", "failed": "bold red", "skipped": "yellow"}
        for check in self.checks:
            status = f"[{colours[check.status]}]{check.status}[/]"
            table.add_row(escape(check.name), status, _figures(check), escape(_remark(check)))
        return Group(table, *[escape(line) for line in self._smallest()])

    def _smallest(self) -> list[str]:
        return [f"smallest failing case of {check.name!r}: {check.smallest}" for check in self.failures]

    def _verdict(self) -> str:
        counts = [sum(check.status == status for check in self.checks) for status in ("passed", "failed", "skipped")]
        return f"{counts[0]} passed, {counts[1]} failed, {counts[2]} skipped (T={self.T}, N={self.N}, {self.level})"


def _figures(check: Check) -> str:
    if check.worst is None:
        return ""
    return f"{check.worst:.2g} ({'same bits' if check.tolerance == 0 else f'{check.tolerance:.0e}'})"


def _remark(check: Check) -> str:
    return ": ".join(part for part in (check.where, check.detail) if part)


def _reason(check: Check) -> str:
    figures = _figures(check)
    return f"{_remark(check)}{f', off by {figures}' if figures else ''}"

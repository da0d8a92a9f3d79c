"""`Certificate`: what `verify` returns, to be read, printed, saved as JSON or raised."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..errors import VerificationError

Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Check:
    """One check of a certificate.

    Parameters
    ----------
    name : str
        What should be equal to what.
    status : Status
        ``"passed"``, ``"failed"`` or ``"skipped"``.
    worst : float, default None
        The worst figure: a difference relative to the largest element, 0 where bits are compared; None if nothing was
        compared.
    tolerance : float, default None
        How large it may be.
    where : str, default ""
        The number with the worst figure: parameter, time, row, index.
    detail : str, default ""
        What was found there and what was expected; the error that stopped the check; why it was skipped.
    smallest : str, default ""
        Of a failed check the smallest case in which it fails, as arguments of `verify`, and what is wrong there.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> certificate = ts.verify(ts.nn.GRUCell(2, 3), T=3, N=2)
    >>> check = certificate.checks[0]
    >>> isinstance(check, ts.verification.Check), check.status
    (True, 'passed')
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
    """The checks of a cell, layer, step or module: see `verify`.

    Attributes
    ----------
    subject
        What was checked.
    level
        ``"short"`` or ``"full"``.
    T, N, seed
        The sizes and the seed of the data.
    checks
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
        """Return the check of that name."""
        return next(check for check in self.checks if check.name == name)

    def raise_on_failure(self) -> None:
        """Raise an error that names the first failed check and its smallest case, unless all passed.

        Raises
        ------
        VerificationError
            If a check failed.
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
        """Return the certificate as JSON; figures that are not finite are text, ``"inf"``."""

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

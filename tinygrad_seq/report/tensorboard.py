"""Rows of metrics as TensorBoard events."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from ..errors import ArgumentError, CheckpointError
from .series import is_number, position_of


class TensorBoard:
    """A TensorBoard log: called with each row of metrics, it writes events; needs the extra ``tensorboard``.

    Each number becomes a scalar under its name in the row, each ``"sample"`` a text. ``tensorboard --logdir FOLDER``
    shows them; that program is a package of its own.

    Parameters
    ----------
    folder : str or path-like
        The folder of the event files; it is created.

    Raises
    ------
    ArgumentError
        If tensorboardX is not installed, or `folder` is not a path.
    CheckpointError
        If the folder cannot be written.

    Examples
    --------
    >>> import tempfile, tinygrad_seq as ts
    >>> with tempfile.TemporaryDirectory() as folder, ts.report.TensorBoard(folder) as log:
    ...     log({"step": 10, "loss": 2.5, "validation_loss": 2.6})
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ArgumentError(
                "report.TensorBoard: expected tensorboardX to be installed, got none; run "
                "pip install 'tinygrad-seq[tensorboard]'."
            ) from error
        if not isinstance(folder, str | os.PathLike):
            raise ArgumentError(f"report.TensorBoard: expected a path, got {folder!r:.50}; pass the name of a folder.")
        try:
            self._writer = SummaryWriter(os.fspath(folder))
        except OSError as error:
            raise CheckpointError(
                f"report.TensorBoard: expected to write to the folder '{os.fspath(folder)}', got: "
                f"{error.strerror or error}; choose another folder."
            ) from error
        self._count = 0

    def __call__(self, row: Mapping[str, Any]) -> None:
        """Write the numbers and the sample of a row, at its ``"step"`` or ``"epoch"``.

        Parameters
        ----------
        row : mapping
            Numbers by name.
        """
        self._count += 1
        at = int(position_of(row, self._count))
        for name, value in row.items():
            if is_number(value):
                self._writer.add_scalar(name, value, at)
            elif name == "sample" and isinstance(value, str):
                self._writer.add_text(name, value, at)
        self._writer.flush()

    def close(self) -> None:
        """Write what is buffered, and close the file."""
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

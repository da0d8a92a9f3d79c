"""``tinygrad-seq cache``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..base import cache_folder
from ..errors import CheckpointError
from .arguments import examples

EXAMPLES = examples("cache", "cache --clear")


def cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Delete the compiled code; it is compiled again on next use.")
    ] = False,
) -> None:
    """Show the folder, number and size of compiled cells, or delete them."""
    folder, files = cache_folder.locate(), cache_folder.entries()
    kernels = sum(path.suffix in (".code", ".nbc") for path in files)
    size = sum(path.stat().st_size for path in files)
    held = f"{kernels:,} compiled kernel{'' if kernels == 1 else 's'}, {size:,} bytes"
    if not clear:
        sys.stdout.write(f"{folder}\n{held}\n")
        return
    try:
        for path in files:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"cache: expected to delete the compiled kernels in '{folder}', got: {error}; "
            "check its permissions, or set TGS_CACHE_DIR to another folder."
        ) from error
    sys.stdout.write(f"{folder}\ndeleted: {held}\n")

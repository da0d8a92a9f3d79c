"""The command ``tinygrad-seq``: one function per command, and how errors become one line and an exit code."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from typing import Any

import typer

from .. import __version__
from ..base.files import shown
from ..base.modes import disable_compile
from ..base.settings import set_num_threads
from ..distributed import World, world
from ..errors import ArgumentError, TinygradSeqError
from . import cache, evaluate, export, fit, info, predict, report, sample, score, train, verify, warmup
from .arguments import WIDE

ON_RANKS = ("train", "fit")  # the commands that mpirun may start on several ranks

app = typer.Typer(
    name="tinygrad-seq",
    help="Train recurrent models: on the rows of a file, to classify, tag, regress and forecast (fit, evaluate, "
    "predict); and language models on a text, to generate text and to rank sentences (train, sample, score).",
    epilog="Start with: tinygrad-seq train --corpus demo --out runs/demo, or tinygrad-seq fit FILE --target COLUMN",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # The tables of a rich help text shorten the names of options in a narrow terminal.
    rich_markup_mode="rich" if shutil.get_terminal_size().columns >= WIDE else None,
)
app.command(epilog=train.EXAMPLES, no_args_is_help=True)(train.train)
app.command(epilog=sample.EXAMPLES)(sample.sample)
app.command(epilog=fit.EXAMPLES, no_args_is_help=True)(fit.fit)
app.command(epilog=predict.EXAMPLES)(predict.predict)
app.command(epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command(epilog=score.EXAMPLES)(score.score)
app.command(epilog=info.EXAMPLES)(info.info)
app.command(epilog=report.EXAMPLES)(report.report)
app.command(epilog=export.EXAMPLES)(export.export)
app.command(epilog=cache.EXAMPLES)(cache.cache)
app.command(epilog=verify.EXAMPLES)(verify.verify)
app.command(epilog=warmup.EXAMPLES)(warmup.warmup)

# Some versions of Typer contain a copy of click, others import it; this is the base class of its errors in both.
_ClickException: Any = typer.BadParameter.__mro__[2]


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"tinygrad-seq {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error; valid at any position."),
    no_compile: bool = typer.Option(
        False, "--no-compile", help="Run the recurrent layers step by step; valid at any position."
    ),
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
    ),
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0, 1 if a check failed, 2 after an error, 130 after Ctrl-C.

    An error of the package is printed in one line that names the command in place of the function that raised it.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = given[: given.index("--")] if "--" in given else given
    debug = "--debug" in options
    compiling = "--no-compile" not in options
    for option in ("--debug", "--no-compile"):
        if option in options:
            given.remove(option)
    if sys.stdout is None:  # closed by the caller
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without braille still shows the other characters
    command = next((word for word in given if not word.startswith("-")), "tinygrad-seq")
    # Two threads of OpenBLAS gain little on steps this small, and are eight times slower if one core is busy.
    set_num_threads(1)
    ranks = World()
    try:
        ranks = world()
        _join(ranks, command, given)
        with contextlib.nullcontext() if compiling else disable_compile():
            code = app(given, prog_name="tinygrad-seq", standalone_mode=False)
        sys.stdout.flush()
    except TinygradSeqError as error:
        return _fail(error, re.sub(r"^[A-Za-z_][\w.]*: (?=expected |')", f"{command}: ", str(error)), debug, ranks)
    except OSError as error:
        if error.filename is not None:  # of a file that nobody should have touched
            got = f"got: {error.strerror}; check its folder."
            return _fail(error, f"{command}: expected to use {shown(error.filename)}, {got}", debug, ranks)
        # From the standard output. Discard what is still buffered, as Python's documentation advises.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # the reader has closed the pipe, e.g. `| head`
            return 1
        return _fail(error, f"tinygrad-seq: expected to write to the standard output, got: {error}.", debug, ranks)
    except MemoryError as error:
        return _fail(error, f"tinygrad-seq: out of memory: {error}; reduce the model, batch or window.", debug, ranks)
    except (KeyboardInterrupt, typer.Abort):
        with ranks.failing(130):
            return 130
    except _ClickException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            return 2
        return _fail(error, f"{error.format_message()} (see --help)", debug, ranks)
    return code if isinstance(code, int) else 0


def _join(ranks: World, command: str, given: list[str]) -> None:
    """Let only rank 0 print; raise on all ranks unless all run the same command, and it runs on several."""
    if not ranks.is_writer:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    ranks.check(command, {"the command line": shlex.join(given)})
    if ranks.size > 1 and command not in ON_RANKS:
        raise ArgumentError(
            f"tinygrad-seq: expected mpirun with {' or '.join(ON_RANKS)}, got it with {command}; leave mpirun out."
        )


def _fail(error: BaseException, message: str, debug: bool, ranks: World) -> int:
    if debug:
        raise error
    with ranks.failing(2):
        sys.stderr.write(f"error: {' '.join(message.split())}\n")
    return 2

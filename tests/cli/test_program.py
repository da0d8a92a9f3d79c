from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info

import tinygrad_seq
from tests.cli.commands import ENVIRONMENT, arguments, process
from tinygrad_seq import get_num_threads, set_num_threads
from tinygrad_seq.cli import main


@pytest.mark.parametrize("command", [[], ["train"], ["sample"], ["score"], ["info"], ["cache"], ["verify"]])
def test_help_has_an_example(command: list[str], capsys) -> None:
    assert main([*command, "--help"]) == 0
    assert f"tinygrad-seq {(command or ['train'])[0]} " in capsys.readouterr().out


def test_no_command_shows_the_help(capsys) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert "Commands" in captured.out + captured.err


def test_version_and_python_m() -> None:
    out, _ = process("--version").communicate(timeout=60)
    assert out == f"tinygrad-seq {tinygrad_seq.__version__}\n"


def test_one_thread_of_blas_unless_asked(corpus: Path, tmp_path: Path) -> None:
    def threads() -> set[int]:
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    try:
        assert main(arguments(corpus, tmp_path / "two", "--threads", "2")) == 0
        assert (threads(), get_num_threads()) == ({2}, 2)
        assert main(arguments(corpus, tmp_path / "one")) == 0
        assert (threads(), get_num_threads()) == ({1}, 1)
    finally:
        set_num_threads(1)


def test_debug_shows_the_traceback(capsys) -> None:
    for given in (["--debug", "info", "nowhere"], ["info", "nowhere", "--debug"]):
        with pytest.raises(OSError, match=r"config\.json"):
            main(given)


def test_a_closed_pipe_is_no_error(trained: Path) -> None:
    running = process("sample", str(trained), "--length", "100000")
    assert running.stdout is not None
    assert running.stderr is not None
    assert running.stdout.read(20)
    running.stdout.close()
    assert running.stderr.read() == ""
    running.stderr.close()
    assert running.wait(timeout=60) == 1


@pytest.mark.parametrize("closed", ["stdin", "stdout"])
def test_closed_streams(trained: Path, closed: str) -> None:
    redirection = {"stdin": "score {} <&-", "stdout": "info {} >&-"}[closed].format(trained)
    command = ["sh", "-c", f"'{sys.executable}' -m tinygrad_seq {redirection}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    expected = {"stdin": (2, "at least one sentence"), "stdout": (0, "")}[closed]
    assert done.returncode == expected[0]
    assert expected[1] in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_behind_the_output(trained: Path) -> None:
    with Path("/dev/full").open("w") as full:
        running = process("info", str(trained), stdout=full)
        _, err = running.communicate(timeout=60)
    assert running.returncode == 2
    assert err.count("\n") == 1
    assert "No space left" in err


def test_ctrl_c_while_sampling(trained: Path) -> None:
    running = process("sample", str(trained), "--length", "10000000")
    assert running.stdout is not None
    assert running.stdout.read(20)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (130, "")


def test_import_is_lazy() -> None:
    script = (
        "import sys, tinygrad_seq.train, tinygrad_seq.report\n"
        "print({'rich', 'typer', 'safetensors', 'matplotlib'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert done.stdout == "set()\n"

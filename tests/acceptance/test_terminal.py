"""What a person sees: a real pseudo-terminal, its bytes, and what is left on the screen at the end."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.acceptance.command_line import PATIENCE_S, RUNNER, Desk, png

MANY = 'foreach.files = "pics/*"\ninput = {type="upload", source="{item.path}"}\nconversion = {target="%s"}\n'
STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOR = re.compile(r"\x1b\[[0-9;]*3[0-9]")


@dataclass(frozen=True, slots=True)
class Seen:
    code: int
    bytes: str

    @property
    def screen(self) -> list[str]:
        """The lines that stay. What was erased, or written over from the beginning of its line, is gone."""
        lines: list[str] = [""]
        row = 0
        for part in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|\r\n|\n|\r)", self.bytes):
            if part in ("\n", "\r\n"):
                row += 1
                lines += [""] * (row + 1 - len(lines))
            elif moved := re.fullmatch(r"\x1b\[(\d*)A", part):
                row = max(0, row - int(moved[1] or 1))
            elif part == "\x1b[2K":
                lines[row] = ""
            elif part and part != "\r" and not STEERING.fullmatch(part):
                lines[row] += part
        return [line for line in lines if line.strip()]


def at_a_terminal(desk: Desk, *args: str, stop: Callable[[], bool] | None = None, **more: str) -> Seen:
    """Run a command in a terminal of 100 columns; when `stop` says so, Ctrl-C is pressed once."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    env = {**desk.env, "TERM": "xterm-256color", **more}
    with subprocess.Popen(
        [RUNNER, *args], cwd=desk.folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        seen = _watch(ours, process, stop)
    os.close(ours)
    return Seen(process.returncode, seen.decode())


def _watch(terminal: int, process: subprocess.Popen[bytes], stop: Callable[[], bool] | None) -> bytes:
    seen, give_up = b"", time.monotonic() + PATIENCE_S
    while True:
        assert time.monotonic() < give_up, seen
        if stop is not None and stop():
            process.send_signal(signal.SIGINT)
            stop = None
        ready, _, _ = select.select([terminal], [], [], 0.02)
        try:
            piece = os.read(terminal, 65536) if ready else None
        except OSError:  # the other end is closed: that is how a terminal says so
            return seen
        if piece is not None:
            seen += piece


@pytest.fixture
def project(desk: Desk) -> Desk:
    for number in range(3):
        desk.write(f"pics/{number}.png", png(size=(300 + number, 200)))
    desk.write("a.recipe.toml", MANY % "webp")
    return desk


def test_a_run_shows_bars_and_leaves_where_the_results_are_and_a_summary(project: Desk) -> None:
    seen = at_a_terminal(project, "run", ".")

    assert seen.code == 0
    assert "converting" in seen.bytes
    assert "━" in seen.bytes
    assert COLOR.search(seen.bytes)
    first, folder, summary = seen.screen
    assert first == "No endpoint is configured: converting on this machine (--endpoint local says the same)."
    assert folder == f"3 results in {project.folder / 'out/a/pics'}"[: len(folder)]
    assert re.fullmatch(r"3 succeeded in \d+\.\d s \(run \w+-\w+\)\.", summary)


def test_nothing_to_do_is_said_without_bars(project: Desk) -> None:
    project.runner("run", ".")

    seen = at_a_terminal(project, "run", ".", "--endpoint", "local")

    assert seen.screen[-1] == "Nothing to do: 3 done before."
    assert "━" not in seen.bytes


def test_quiet_is_silent_on_a_terminal_too(project: Desk) -> None:
    assert at_a_terminal(project, "run", ".", "--quiet") == Seen(0, "")


def test_no_color_means_no_colour_anywhere(project: Desk) -> None:
    project.write("pics/bad.png", "no picture")

    runs = [at_a_terminal(project, command, ".", NO_COLOR="1") for command in ("plan", "run", "check")]

    assert [seen.code for seen in runs] == [0, 6, 0]
    assert not any(COLOR.search(seen.bytes) for seen in runs)
    assert runs[1].screen[1].startswith("failed: a[pics/bad.png]: 'bad.png' is not a picture")


def test_problems_are_coloured_on_a_terminal_and_plain_in_a_pipe(project: Desk) -> None:
    project.write("b.recipe.toml", "retri = 1\n")

    seen, piped = at_a_terminal(project, "check", "."), project.runner("check", ".")

    assert seen.code == piped.code == 5
    assert COLOR.search(seen.bytes)
    assert "\x1b" not in piped.err
    assert STEERING.sub("", seen.bytes).replace("\r\n", "\n") == piped.err


def test_ctrl_c_is_130_a_clean_screen_and_the_next_run_goes_on(desk: Desk) -> None:
    for number in range(8):
        desk.write(f"pics/{number}.png", png(size=(900 + number, 700)))
    desk.write("a.recipe.toml", MANY % "avif")

    seen = at_a_terminal(desk, "run", ".", "--jobs", "2", stop=lambda: bool(desk.delivered()))

    assert seen.code == 130
    assert "Traceback" not in seen.bytes
    assert seen.bytes.endswith("\n")
    assert "\x1b[?25h" in seen.bytes[seen.bytes.rindex("\x1b[?25l") :]  # the cursor is back
    assert "━" not in "".join(seen.screen)
    assert "pending" in seen.screen[-1]
    assert desk.runner("run", ".").said == (0, "", "")
    assert len(desk.delivered()) == 8
    assert all(entry.starts <= 1 for entry in desk.book())


def test_names_that_would_steer_the_terminal_do_not(desk: Desk) -> None:
    desk.write("pics/\x1b[31mred\x07.png", "no picture")
    desk.write("a.recipe.toml", MANY % "webp")

    seen = at_a_terminal(desk, "run", ".", NO_COLOR="1")

    assert seen.code == 6
    assert "\x1b[31m" not in seen.bytes
    assert "\x07" not in seen.bytes
    assert "\\x1b[31mred\\x07.png" in seen.bytes


@pytest.mark.parametrize("how", [">/dev/full", ">&-", ">&- <&-"])
@pytest.mark.parametrize(
    "command", ["plan .", "check . --format json", "compile .", "log --format json", "--help", "--version"]
)
def test_a_result_that_cannot_be_written_is_one_line_and_a_code_of_its_own(desk: Desk, command: str, how: str) -> None:
    desk.write("pics/a.png", png())
    desk.write("a.recipe.toml", MANY % "webp")

    done = desk.runner(launcher=("sh", "-c", f"exec {RUNNER} {command} {how}"))

    assert done.code == 74
    assert done.err.startswith("error: the result can't be written to standard output: ")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("how", [">/dev/full", ">&-"])
def test_a_run_does_its_work_though_nobody_can_be_told(desk: Desk, how: str) -> None:
    desk.write("pics/a.png", png())
    desk.write("a.recipe.toml", MANY % "webp")

    done = desk.runner(launcher=("sh", "-c", f"exec {RUNNER} run . --format json {how}"))

    assert (done.code, len(done.err.splitlines())) == (74, 1)
    assert desk.delivered() == {"a/pics/a.webp"}
    assert desk.runner("run", ".").said == (0, "", "")
    assert len(desk.book()) == 1


@pytest.mark.parametrize("how", ["2>/dev/full", "2>&-"])
def test_what_cannot_be_said_changes_no_result_and_no_exit_code(desk: Desk, how: str) -> None:
    desk.write("a.recipe.toml", "tarrget = 1\n")

    done = desk.runner(launcher=("sh", "-c", f"exec {RUNNER} check . --format json {how}"))
    spoken = desk.runner(launcher=("sh", "-c", f"exec {RUNNER} check . {how}"))

    assert (done.code, spoken.code) == (5, 5)
    assert done.json["problems"]

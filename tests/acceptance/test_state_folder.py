"""Where state is kept: nobody who only looks makes the folder, and whoever makes it keeps it out of git."""

from __future__ import annotations

import time

import pytest

from tests.acceptance.command_line import Desk, one_file, png, serving


@pytest.mark.parametrize(
    "command", ["status", "sweep", "sweep --dry-run", "log", "plan a.recipe.toml", "check .", "compile .", "doctor"]
)
def test_a_command_that_only_looks_makes_no_state_folder(desk: Desk, command: str) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))

    done = desk.runner(*command.split())

    assert done.code in (0, 6), done.err
    assert not (desk.folder / ".runner").exists()


@pytest.mark.parametrize("command", ["run", "serve", "serve keys add"])
def test_a_state_folder_is_kept_out_of_git(desk: Desk, command: str) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))

    if command == "serve":
        with serving(desk):
            pass
    else:
        done = desk.runner(*command.split(), *(["."] if command == "run" else []))
        assert done.code == 0, done.err

    assert (desk.folder / ".runner/.gitignore").read_text() == "*\n"


def test_a_leftover_that_only_a_server_knows_is_listed_without_a_log(desk: Desk) -> None:
    with serving(desk, "--state", "server") as server:
        shell = Desk(folder=desk.folder, home=desk.home, more={"API2CONVERT_API_KEY": server["api_key"]})
        done = shell.runner("sweep", "--endpoint", server["base_url"])

    assert done.said == (0, "Nothing to sweep.\n", "")
    assert not (desk.folder / ".runner").exists()


def test_a_run_says_at_once_that_a_server_of_somebody_else_holds_the_folder(desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))

    with serving(desk) as server:
        began = time.monotonic()
        done = desk.runner("run", ".")
        took_s = time.monotonic() - began
        shell = Desk(folder=desk.folder, home=desk.home, more={"API2CONVERT_API_KEY": server["api_key"]})
        told = shell.runner("run", ".", "--endpoint", server["base_url"])

    assert done.code == 75
    assert f"another server (process {server['pid']}, {server['base_url']}) keeps its state in" in done.err
    assert f"--endpoint {server['base_url']}" in done.err
    assert took_s < 15
    assert told.code == 0, told.err


@pytest.mark.parametrize("content", [None, b"", b"no database at all" * 300])
def test_a_log_that_tells_nothing_is_not_made_anew_and_says_what_now(desk: Desk, content: bytes | None) -> None:
    log = desk.folder / ".runner/runs.db"
    if content is not None:
        desk.write(".runner/runs.db", content)

    done = desk.runner("doctor", "--rebuild-log")

    assert done.code == 5
    assert f"error: {log}: " in done.err
    assert ("there is no run log" if content is None else "nothing of this log can be read") in done.err
    assert ("--state" if content is None else "runner sweep --dry-run") in done.err
    assert (log.read_bytes() if log.exists() else None) == content


def test_an_empty_log_counts_as_new(desk: Desk) -> None:
    """A first run that was killed as it began leaves one; the next says nothing of it."""
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))
    desk.write(".runner/runs.db", b"")

    done, again = desk.runner("run", "."), desk.runner("run", ".")

    assert done.said == (0, "", "")
    assert again.said == (0, "", "")
    assert [entry.starts for entry in desk.book()] == [1]

"""Without a terminal: nothing on success, one readable message on failure, an exit code that says which."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.acceptance.command_line import RUNNER, Desk, one_file, png, serving, until


@contextlib.contextmanager
def nobody_listens() -> Iterator[Mapping[str, str]]:
    """The settings of a shell whose endpoint refuses every connection."""
    with socket.socket() as taken:  # bound and never listening
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v2"
        yield {"API2CONVERT_API_KEY": "some-key", "API2CONVERT_BASE_URL": url}


def test_success_and_nothing_to_do_are_silent(desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))

    assert desk.runner("run", ".").said == (0, "", "")
    assert desk.runner("run", ".").said == (0, "", "")


def test_an_almost_empty_environment_and_another_folder_are_enough(desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))

    done = subprocess.run([RUNNER, "run", desk.folder], cwd="/", env={}, capture_output=True, timeout=60, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert desk.delivered() == {"a/a.webp"}


def test_failure_is_one_message_that_names_the_job_and_the_reason(desk: Desk) -> None:
    desk.write("a.png", "no picture")
    desk.write("a.recipe.toml", one_file("a.png"))

    done = desk.runner("run", ".")

    assert (done.code, done.out) == (6, "")
    assert done.err.startswith("failed: a: 'a.png' is not a picture")
    assert len(done.err.splitlines()) <= 2


def test_cron_that_lost_its_key_does_not_convert_somewhere_else(desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))
    with serving(desk) as server:
        more = {"API2CONVERT_API_KEY": server["api_key"], "API2CONVERT_BASE_URL": server["base_url"]}
        assert Desk(folder=desk.folder, home=desk.home, more=more).runner("run", ".").said == (0, "", "")
    desk.write("b.png", png(color="red"))
    desk.write("b.recipe.toml", one_file("b.png"))

    lost = desk.runner("run", ".")

    assert lost.code == 3
    assert "no endpoint is configured" in lost.err
    assert "--endpoint local" in lost.err
    assert not (desk.folder / "out/b").exists()
    assert desk.runner("run", ".", "--endpoint", "local").said == (0, "", "")


def test_a_key_alone_does_not_take_the_work_of_a_project_to_another_endpoint(desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))
    assert desk.runner("run", ".").code == 0
    keyed = replace(desk, more={"API2CONVERT_API_KEY": "some-key"})

    run, plan = keyed.runner("run", "."), keyed.runner("plan", ".")
    meant = keyed.runner("plan", ".", "--endpoint", "hosted")
    desk.write("a.recipe.toml", one_file("a.png", more="epoch = 3\n"))
    redone = keyed.runner("plan", ".", "--endpoint", "local")

    assert (run.code, plan.code) == (3, 3)
    assert "runs of this log went to local and never to hosted" in run.err
    assert "--endpoint hosted once" in run.err
    assert "changed: endpoint: local -> hosted " in meant.out
    assert "changed: epoch: 0 -> 3 " in redone.out


def test_hosted_without_a_key_is_an_error_and_not_local(desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))
    desk.write("runner.toml", 'endpoint = "hosted"\n')

    done = desk.runner("run", ".")

    assert done.code == 3
    assert "API2CONVERT_API_KEY" in done.err


def test_an_endpoint_that_does_not_answer_is_8_and_the_next_run_goes_on(desk: Desk) -> None:
    for name in ("a", "b", "c"):
        desk.write(f"{name}.png", png(color="red"))
        desk.write(f"{name}.recipe.toml", one_file(f"{name}.png"))
    with nobody_listens() as shell:
        done = replace(desk, more=shell).runner("run", ".")

    assert done.code == 8
    assert "Connection refused" in done.err
    assert len(done.err.splitlines()) <= 3
    assert desk.runner("run", ".", "--endpoint", "local").said == (0, "", "")


MANY = 'foreach.files = "pics/*"\ninput = {type="upload", source="{item.path}"}\nconversion = {target="%s"}\n'


def many(desk: Desk, number: int, *, target: str, size: tuple[int, int]) -> None:
    for index in range(number):
        desk.write(f"pics/{index}.png", png(size=(size[0] + index, size[1])))
    desk.write("a.recipe.toml", MANY % target)


def test_a_run_that_was_killed_is_finished_by_the_next_and_starts_each_job_once(desk: Desk) -> None:
    many(desk, 10, target="avif", size=(900, 700))
    with desk.start("run", ".", "--jobs", "2") as process:
        until(lambda: bool(desk.delivered()) or process.poll() is not None, what="the first result")
        process.kill()
        process.communicate()
    assert 0 < len(desk.delivered()) < 10

    done = desk.runner("run", ".", "--format", "json")

    assert done.code == 0
    assert len(desk.delivered()) == 10
    assert not [name for name in desk.delivered() if name.endswith(".part")]
    assert [entry.starts for entry in desk.book() if entry.starts] == [1] * 10
    assert "Nothing to do: 10 done before." in desk.runner("run", ".", "-v").err


def couriers(run: int) -> set[int]:
    """The processes that carry requests of this run."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == run and "runner.client.courier" in (process / "cmdline").read_text():
                found.add(int(process.name))
    return found


def test_a_big_run_has_its_requests_carried_and_is_finished_by_the_next_when_both_are_killed(desk: Desk) -> None:
    count = 220
    many(desk, count, target="jpg", size=(20, 10))
    with desk.start("run", ".", "--jobs", "32") as process:
        until(lambda: len(desk.delivered()) > 5 or process.poll() is not None, what="the first results")
        (courier,) = couriers(process.pid)
        os.kill(courier, signal.SIGKILL)  # what it carried may have been heard or not
        until(lambda: len(desk.delivered()) > 60 or process.poll() is not None, what="further results")
        process.kill()
        process.communicate()
    assert 0 < len(desk.delivered()) < count

    done = desk.runner("run", ".", "--jobs", "32", "--format", "json")

    assert done.code == 0
    assert len(desk.delivered()) == count
    assert [entry.starts for entry in desk.book() if entry.starts] == [1] * count


@contextlib.contextmanager
def _heard(number: signal.Signals) -> Iterator[None]:
    """What is started meanwhile isn't told to ignore the signal, even where we are (by nohup)."""
    before = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize(("sent", "code"), [([signal.SIGTERM], 143), ([signal.SIGHUP, signal.SIGHUP], 129)])
def test_a_signal_ends_a_run_well_and_the_next_goes_on(sent: list[signal.Signals], code: int, desk: Desk) -> None:
    """A terminal that closes hangs up twice: the kernel says so, and the shell."""
    many(desk, 8, target="avif", size=(900, 700))
    with _heard(signal.SIGHUP), desk.start("run", ".", "--jobs", "1") as process:
        until(lambda: bool(desk.delivered()) or process.poll() is not None, what="the first result")
        for number in sent:
            process.send_signal(number)
            time.sleep(0.1)
        out, err = process.communicate(timeout=30)

    assert process.returncode == code
    assert desk.runner("log", "--format", "json").json["runs"][0]["exit_code"] == code
    assert out == ""
    assert len(err.splitlines()) <= 10
    assert "Traceback" not in err
    assert desk.runner("run", ".").code == 0
    assert len(desk.delivered()) == 8
    assert all(entry.starts <= 1 for entry in desk.book())


def test_a_run_under_nohup_goes_on_when_the_terminal_closes(desk: Desk) -> None:
    many(desk, 3, target="avif", size=(900, 700))
    command = ["nohup", str(RUNNER), "run", ".", "--jobs", "1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=desk.folder, env=desk.env, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        until(lambda: bool(desk.delivered()) or process.poll() is not None, what="the first result")
        process.send_signal(signal.SIGHUP)
        _, err = process.communicate(timeout=60)

    assert process.returncode == 0, err
    assert len(desk.delivered()) == 3


def test_two_runs_at_once_buy_nothing_twice(desk: Desk) -> None:
    many(desk, 4, target="webp", size=(300, 200))

    with desk.start("run", ".", "--lock-wait", "60") as one, desk.start("run", ".", "--lock-wait", "60") as other:
        ended = [(run.communicate(timeout=60)[1], run.returncode) for run in (one, other)]

    assert ended == [("", 0), ("", 0)]
    assert len(desk.delivered()) == 4
    assert [entry.starts for entry in desk.book() if entry.starts] == [1] * 4


def test_output_that_nobody_reads_to_the_end_is_no_error(desk: Desk) -> None:
    many(desk, 300, target="webp", size=(10, 5))

    done = subprocess.run(
        ["bash", "-c", f'"{RUNNER}" plan . --format json | head -1; exit "${{PIPESTATUS[0]}}"'],
        cwd=desk.folder,
        env=desk.env,
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, b"{\n", b"")


def test_what_lies_in_the_current_folder_is_not_imported(desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))
    for module in ("runner/__init__.py", "json.py", "PIL/__init__.py", "asyncio.py"):
        desk.write(module, "raise SystemExit('imported from the project')\n")

    assert desk.runner("run", ".").said == (0, "", "")


@pytest.mark.parametrize("of_the_recipe", [False, True])
def test_a_deadline_ends_the_waiting_for_an_endpoint_that_refuses_connections(
    desk: Desk, *, of_the_recipe: bool
) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png", more='deadline = "1s"\n' if of_the_recipe else ""))
    began = time.monotonic()
    with nobody_listens() as shell:
        done = replace(desk, more=shell).runner("run", ".", *([] if of_the_recipe else ["--deadline", "1s"]))

    assert done.code == 7
    assert "the deadline was reached" in done.err
    assert "Connection refused" in done.err
    assert time.monotonic() - began < 10

"""Without a terminal: nothing on success, one readable message on failure, an exit code that says which."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.acceptance.command_line import RUNNER, Desk, one_file, png, serving, until


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


def test_hosted_without_a_key_is_an_error_and_not_local(desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))
    desk.write("runner.toml", 'endpoint = "hosted"\n')

    done = desk.runner("run", ".")

    assert done.code == 3
    assert "API2CONVERT_API_KEY" in done.err


def test_an_endpoint_that_does_not_answer_is_8_and_the_next_run_goes_on(desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", one_file("a.png"))
    with socket.socket() as taken:  # bound and never listening: every connection is refused
        taken.bind(("127.0.0.1", 0))
        more = {"API2CONVERT_API_KEY": "some-key", "API2CONVERT_BASE_URL": f"http://127.0.0.1:{taken.getsockname()[1]}/v2"}
        done = Desk(folder=desk.folder, home=desk.home, more=more).runner("run", ".", "--deadline", "20s")

    assert done.code in (7, 8)
    assert "127.0.0.1" in done.err
    assert desk.runner("run", ".", "--endpoint", "local").said == (0, "", "")


def test_a_run_that_was_killed_is_finished_by_the_next_and_starts_each_job_once(desk: Desk) -> None:
    for number in range(12):
        desk.write(f"pics/{number}.png", png(size=(900 + number, 700)))
    desk.write(
        "a.recipe.toml",
        'foreach.files = "pics/*"\ninput = {type="upload", source="{item.path}"}\nconversion = {target="avif"}\n',
    )
    process = desk.start("run", ".", "--jobs", "2")
    until(lambda: bool(desk.delivered()), what="the first result")
    process.kill()
    process.communicate()
    assert 0 < len(desk.delivered()) < 12

    done = desk.runner("run", ".", "--format", "json")

    assert done.code == 0
    assert len(desk.delivered()) == 12
    assert not [name for name in desk.delivered() if name.endswith(".part")]
    started = [entry for entry in desk.book() if entry.starts]
    assert [entry.starts for entry in started] == [1] * 12
    assert "Nothing to do: 12 done before." in desk.runner("run", ".", "-v").err


def test_two_runs_at_once_buy_nothing_twice(desk: Desk) -> None:
    for number in range(4):
        desk.write(f"pics/{number}.png", png(size=(300 + number, 200)))
    desk.write(
        "a.recipe.toml",
        'foreach.files = "pics/*"\ninput = {type="upload", source="{item.path}"}\nconversion = {target="webp"}\n',
    )

    runs = [desk.start("run", ".", "--lock-wait", "60") for _ in range(2)]
    ended = [(run.communicate(timeout=60)[1], run.returncode) for run in runs]

    assert ended == [("", 0), ("", 0)]
    assert len(desk.delivered()) == 4
    assert sorted(entry.starts for entry in desk.book() if entry.starts) == [1] * 4


def test_sigterm_ends_a_run_with_143_and_the_next_goes_on(desk: Desk) -> None:
    for number in range(8):
        desk.write(f"pics/{number}.png", png(size=(900 + number, 700)))
    desk.write(
        "a.recipe.toml",
        'foreach.files = "pics/*"\ninput = {type="upload", source="{item.path}"}\nconversion = {target="avif"}\n',
    )
    process = desk.start("run", ".", "--jobs", "1")
    until(lambda: bool(desk.delivered()), what="the first result")

    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    out, err = process.communicate(timeout=60)

    assert process.returncode == 143
    assert time.monotonic() - began < 15
    assert out == ""
    assert "Traceback" not in err
    assert desk.runner("run", ".").code == 0
    assert len(desk.delivered()) == 8
    assert all(entry.starts <= 1 for entry in desk.book())


def test_output_that_nobody_reads_to_the_end_is_no_error(desk: Desk, tmp_path: Path) -> None:
    for number in range(300):
        desk.write(f"pics/{number}.png", png(size=(10 + number, 5)))
    desk.write(
        "a.recipe.toml",
        'foreach.files = "pics/*"\ninput = {type="upload", source="{item.path}"}\nconversion = {target="webp"}\n',
    )

    done = subprocess.run(
        ["bash", "-c", f'"{RUNNER}" plan . --format json | head -1; exit "${{PIPESTATUS[0]}}"'],
        cwd=desk.folder,
        env=desk.env,
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, b"{\n", b"")

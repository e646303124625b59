"""Whatever a conversion does, there is an answer, and the workers go on."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.server.converters.protocol import Request
from runner.server.workers import landlock
from runner.server.workers.outcome import MIB, Code, Converted, Limits, Outcome, Refused
from runner.server.workers.pool import Workers

Requests = Callable[..., Request]
Outcomes = Callable[..., Outcome]
SMALL = Limits(wall_s=60, cpu_s=1, memory_bytes=1024 * MIB, output_bytes=8 * MIB)


def text_of(outcome: Outcome) -> str:
    assert isinstance(outcome, Converted), outcome
    return outcome.products[0].path.read_text()


def is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def is_ended(process: int, *, within_s: float) -> bool:
    """Whether it ends in that time; a kill takes a moment to arrive."""
    try:
        watched = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    poller = select.poll()
    poller.register(watched, select.POLLIN)
    try:
        return bool(poller.poll(within_s * 1000))
    finally:
        os.close(watched)


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_conversion_answers_with_its_product_and_what_it_took(request_for: Requests, outcome_of: Outcomes) -> None:
    outcome = outcome_of(request_for("copy"))

    assert text_of(outcome) == "the source"
    assert 0 < outcome.cpu_s < 5
    assert 0 < outcome.wall_s < 60


@pytest.mark.parametrize(
    ("target", "code", "words"),
    [
        ("segfault", Code.CRASHED, "SIGSEGV"),
        ("endless", Code.CPU_TIME, "1 seconds of processor time"),
        ("hog", Code.MEMORY, "1024 MiB of memory"),
        ("flood", Code.OUTPUT_SIZE, "8 MiB"),
        ("refuses", 6005, "it lacks a heart"),
        ("fails", Code.BUG, "KeyError"),
        ("exits", Code.BUG, "ended without"),
        ("vanishes", Code.BUG, "no JSON"),
        ("nothing", Code.BUG, "no file"),
        ("empty", Code.BUG, "empty"),
        ("elsewhere", Code.BUG, "outside of its folder"),
        ("folder", Code.BUG, "no plain file"),
        ("no_such_source", Code.BUG, "a source that isn't there"),
        ("talkative", Code.BUG, "longer than 8 MiB"),
        ("unheard-of", Code.UNSUPPORTED, "test/unheard-of"),
    ],
)
def test_what_goes_wrong_has_a_code_and_a_message_of_its_own(
    target: str, code: int, words: str, request_for: Requests, outcome_of: Outcomes
) -> None:
    outcome = outcome_of(request_for(target), SMALL)

    assert isinstance(outcome, Refused)
    assert outcome.code == code
    assert words in outcome.message


def test_a_converter_that_hangs_is_ended_at_the_wall_time(request_for: Requests, outcome_of: Outcomes) -> None:
    outcome = outcome_of(request_for("asleep"), replace(SMALL, wall_s=0.5))

    assert isinstance(outcome, Refused)
    assert outcome.code == Code.WALL_TIME
    assert outcome.details == {"limit_s": 0.5}


def test_a_bug_says_where_it_is(request_for: Requests, outcome_of: Outcomes) -> None:
    outcome = outcome_of(request_for("fails"))

    assert isinstance(outcome, Refused)
    assert outcome.details["exception"] == "KeyError"
    assert str(outcome.details["at"]).startswith("hostile.py:")


def test_details_of_a_refusal_arrive(request_for: Requests, outcome_of: Outcomes) -> None:
    outcome = outcome_of(request_for("refuses"))

    assert isinstance(outcome, Refused)
    assert outcome.details == {"text_1": "a heart"}


def test_a_crash_disturbs_nobody_else(request_for: Requests, with_workers: Callable[..., Any]) -> None:
    async def work(workers: Workers) -> list[Outcome]:
        targets = ("copy", "segfault", "copy", "exits", "hog", "copy")
        return await asyncio.gather(*(workers.convert(request_for(target)) for target in targets))

    outcomes = with_workers(work, SMALL)

    assert [isinstance(outcome, Converted) for outcome in outcomes] == [True, False, True, False, False, True]


def test_no_more_run_at_once_than_allowed(request_for: Requests, with_workers: Callable[..., Any]) -> None:
    running: set[int] = set()
    most: list[int] = []

    async def one(workers: Workers, request: Request) -> None:
        pids: list[int] = []

        def started(process: int) -> None:
            running.add(process)
            pids.append(process)
            most.append(len(running))

        await workers.convert(request, on_start=started)
        running.discard(pids[0])

    async def work(workers: Workers) -> None:
        await asyncio.gather(*(one(workers, request_for("copy")) for _ in range(8)))

    with_workers(work, processes=2)

    assert len(most) == 8
    assert max(most) <= 2


def test_cancelling_kills_the_process(request_for: Requests, with_workers: Callable[..., Any]) -> None:
    async def work(workers: Workers) -> int:
        started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(workers.convert(request_for("asleep"), on_start=started.set_result))
        process = await started
        assert is_alive(process)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not is_alive(process)
        assert text_of(await workers.convert(request_for("copy"))) == "the source"
        return process

    assert with_workers(work, processes=1) > 0


def test_leaving_the_workers_ends_what_still_runs(request_for: Requests, with_workers: Callable[..., Any]) -> None:
    async def work(workers: Workers) -> tuple[int, asyncio.Task[Outcome]]:
        started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(workers.convert(request_for("asleep"), on_start=started.set_result))
        return await started, task

    async def both() -> tuple[int, Outcome]:
        async with Workers(Limits(), 1, table="hostile:CONVERTERS") as workers:
            process, task = await work(workers)
        return process, await task

    process, outcome = asyncio.run(both())

    assert isinstance(outcome, Refused)
    assert outcome.code == Code.NO_WORKER
    assert not is_alive(process)


def test_a_cancelled_conversion_whose_workers_are_gone_is_no_news(request_for: Requests) -> None:
    told: list[dict[str, Any]] = []

    async def both() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context))
        started: asyncio.Future[int] = loop.create_future()
        async with Workers(Limits(), 1, table="hostile:CONVERTERS") as workers:
            task = asyncio.create_task(workers.convert(request_for("asleep"), on_start=started.set_result))
            await started
            task.cancel()
            await asyncio.sleep(0)  # it is cancelled, kills, and waits for the end that comes as a loss
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        gc.collect()

    asyncio.run(both())

    assert told == []


def test_what_a_conversion_left_running_ends_with_it(request_for: Requests, outcome_of: Outcomes) -> None:
    outcome = outcome_of(request_for("leaves_a_child"))

    assert is_ended(int(text_of(outcome)), within_s=60)


def test_a_dead_zygote_is_replaced(request_for: Requests, with_workers: Callable[..., Any]) -> None:
    async def work(workers: Workers) -> tuple[Outcome, Outcome]:
        started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(workers.convert(request_for("asleep"), on_start=started.set_result))
        process = await started
        os.kill(parent_of(process), signal.SIGKILL)
        return await task, await workers.convert(request_for("copy"))

    lost, next_one = with_workers(work)

    assert isinstance(lost, Refused)
    assert lost.code == Code.NO_WORKER
    assert text_of(next_one) == "the source"


def test_a_table_that_cannot_be_imported_is_named(request_for: Requests) -> None:
    async def work() -> Outcome:
        async with Workers(Limits(), 1, table="no_such_module:CONVERTERS") as workers:
            return await workers.convert(request_for("copy"))

    outcome = asyncio.run(work())

    assert isinstance(outcome, Refused)
    assert outcome.code == Code.NO_WORKER
    assert "no_such_module" in outcome.message


def test_options_that_are_no_json_are_the_callers_mistake(request_for: Requests, outcome_of: Outcomes) -> None:
    with pytest.raises(TypeError, match="set is no JSON value"):
        outcome_of(request_for("copy", oops={1, 2}))


def test_large_options_and_odd_names_arrive(request_for: Requests, outcome_of: Outcomes, tmp_path: Path) -> None:
    request = request_for("copy", text="x" * 3_000_000)
    odd = tmp_path / "häß \n' \udcff.txt"
    odd.write_text("odd")
    request = replace(request, sources=(replace(request.sources[0], path=odd),))

    assert text_of(outcome_of(request)) == "odd"


def test_a_conversion_holds_nothing_of_the_server(
    request_for: Requests, outcome_of: Outcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API2CONVERT_API_KEY", "secret-of-the-server")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        os.set_inheritable(listening.fileno(), True)

        belongings = text_of(outcome_of(request_for("belongings")))

    assert "secret-of-the-server" not in belongings
    assert "AF_INET" not in belongings
    assert belongings.count("AF_UNIX") == 1  # its own connection


@pytest.fixture
def allowed(request_for: Requests, outcome_of: Outcomes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    outside = tmp_path_factory.mktemp("outside") / "secret.txt"
    outside.write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        text = text_of(outcome_of(request_for("rights", outside=str(outside), port=port)))
    return dict(line.split(": ") for line in text.splitlines())


def test_a_conversion_can_do_its_work(allowed: dict[str, str]) -> None:
    for name in ("write in its folder", "read its source", "read the standard library"):
        assert allowed[name] == "allowed"


def test_landlock_keeps_a_conversion_in_its_folder(allowed: dict[str, str]) -> None:
    version = landlock.abi()
    files = (
        *("read a file of the system", "read a file outside", "list a folder outside"),
        *("write beside", "overwrite the source"),
    )
    denied = dict.fromkeys(files, "PermissionError")
    denied |= {"connect": "PermissionError"} if version >= 4 else {}
    denied |= {"kill its maker": "PermissionError"} if version >= 6 else {}

    expected = denied if version else dict.fromkeys(denied, "allowed")

    assert {name: allowed[name] for name in denied} == expected


def test_isolation_says_what_is_in_force() -> None:
    stated = Workers(SMALL, 3).isolation()

    assert stated["landlock_abi"] == landlock.abi()
    assert stated["processes"] == 3
    assert json.dumps(stated)


SCRIPT = """
    import asyncio, sys
    from pathlib import Path
    from runner.server.converters.protocol import Request, Source
    from runner.server.workers.outcome import Limits
    from runner.server.workers.pool import Workers

    print("main runs")  # without a guard: a second import of this module would say it again

    async def work(target):
        request = Request(category="test", target=target, options={}, metadata={}, workdir=Path(sys.argv[1]),
            sources=(Source(path=Path(sys.argv[2]), filename="x", content_type="", kind="txt"),))
        async with Workers(Limits(), 1, table="hostile:CONVERTERS") as workers:
            return await workers.convert(request)

    outcome = asyncio.run(work("main_module"))
    print(outcome.products[0].path.read_text())
"""


def run_script(tmp_path: Path) -> subprocess.CompletedProcess[str]:
    (tmp_path / "work").mkdir()
    (tmp_path / "source").write_text("x")
    (tmp_path / "starter.py").write_text(textwrap.dedent(SCRIPT))
    path = [str(tmp_path), str(Path(__file__).parent), *(entry for entry in sys.path if entry)]
    return subprocess.run(
        [sys.executable, "-m", "starter", str(tmp_path / "work"), str(tmp_path / "source")],
        env={"PYTHONPATH": os.pathsep.join(path), "HOME": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )


def test_a_server_started_as_a_module_is_not_imported_again(tmp_path: Path) -> None:
    done = run_script(tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["main runs", "None False"]
    assert not list(tmp_path.rglob("work/*.pyc"))


def test_killing_the_server_ends_its_conversions(tmp_path: Path) -> None:
    script = (
        textwrap.dedent(SCRIPT)
        .replace('"main_module"', '"asleep"')
        .replace("workers.convert(request)", "workers.convert(request, on_start=lambda pid: print(pid, flush=True))")
    )
    (tmp_path / "work").mkdir()
    (tmp_path / "source").write_text("x")
    (tmp_path / "starter.py").write_text(script)
    path = os.pathsep.join([str(Path(__file__).parent), *(entry for entry in sys.path if entry)])
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "starter.py"), str(tmp_path / "work"), str(tmp_path / "source")],
        env={"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "main runs\n"
        process = int(server.stdout.readline())
        server.kill()
        server.wait()

        assert is_ended(process, within_s=60)

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from runner.server.converters.protocol import Request, Source
from runner.server.workers.outcome import Limits, Outcome
from runner.server.workers.pool import Workers

T = TypeVar("T")
HOSTILE = "hostile:CONVERTERS"


@pytest.fixture(autouse=True)
def hostile_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.fixture
def request_for(tmp_path: Path) -> Callable[..., Request]:
    def build(target: str, **options: object) -> Request:
        source = tmp_path / "source.txt"
        source.write_text("the source")
        workdir = tmp_path / f"work-{target}-{len(list(tmp_path.iterdir()))}"
        workdir.mkdir()
        return Request(
            category="test",
            target=target,
            options=options,
            metadata={},
            sources=(Source(path=source, filename="source.txt", content_type="text/plain", kind="txt"),),
            workdir=workdir,
        )

    return build


@pytest.fixture
def with_workers() -> Callable[..., Any]:
    """Runs a coroutine function that takes Workers over the hostile converters."""

    def run(work: Callable[[Workers], Coroutine[Any, Any, T]], limits: Limits | None = None, processes: int = 2) -> T:
        async def inside() -> T:
            async with Workers(limits or Limits(), processes, table=HOSTILE) as workers:
                return await work(workers)

        return asyncio.run(inside())

    return run


@pytest.fixture
def outcome_of(with_workers: Callable[..., Any]) -> Callable[..., Outcome]:
    """What becomes of one request."""

    def run(request: Request, limits: Limits | None = None) -> Outcome:
        outcome: Outcome = with_workers(lambda workers: workers.convert(request), limits)
        return outcome

    return run

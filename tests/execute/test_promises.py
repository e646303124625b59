"""Whatever people, crashes and second runs do in whatever order, the promises hold.

A rule-based machine on an island: edits, runs, kills of runs and of the server, two runs at once. After every step
nothing was started twice; in the end all work is done, every result is in its place, and every credit is in the log.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.execute import island as people
from tests.execute.island import FAILED, FAULTS, KILLED, LOCKED, QUOTA, UNREACHABLE, Island, Kill
from tests.execute.lab import Ended, Forge, Server, Web, running_server

# `make soak` looks deeper, for about ten minutes; otherwise about half a minute, the same every time.
DEEP = bool(os.environ.get("SOAK"))

ISLANDS = itertools.count(1)
SEEDS = st.integers(min_value=1, max_value=1 << 40)
EDITS = st.sampled_from(sorted(set(people.EDITS), key=lambda edit: edit.__name__))


class Promises(RuleBasedStateMachine):
    server: ClassVar[Server]
    web: ClassVar[Web]
    forges: ClassVar[list[Forge]]
    run_log: Callable[[], str] = staticmethod(lambda: "")  # the URL of a fresh one, where it is no file

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()

    @initialize()
    def arrive(self) -> None:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="island-")))
        self.island = Island(
            folder=folder,
            server=self.server,
            web=self.web,
            forges=self.forges,
            first_seed=next(ISLANDS),
            faults=self.server.faults,
        )
        self.island.run_log = self.run_log()
        self.island.seen = list(people.POINTS)

    @rule(edit=EDITS, seed=SEEDS)
    def somebody_edits(self, edit: people.Edit, seed: int) -> None:
        edit(self.island, Random(seed))

    @rule()
    def a_run(self) -> None:
        self._fit(self.island.run(None))

    @rule(point=st.sampled_from(people.POINTS), ordinal=st.integers(1, 3))
    def a_run_is_killed(self, point: str, ordinal: int) -> None:
        self._fit(self.island.run(Kill(point=point, ordinal=ordinal)))

    @rule(first=st.sampled_from(people.POINTS), second=st.sampled_from(people.POINTS))
    def two_runs_are_killed(self, first: str, second: str) -> None:
        self._fit(self.island.run(Kill(point=first), Kill(point=second)))

    @rule(point=st.sampled_from(people.POINTS))
    def one_of_two_runs_is_killed(self, point: str) -> None:
        self._fit(self.island.run(Kill(point=point), None))

    @rule(point=st.sampled_from([point for point in people.POINTS if "/v2/" in point or "load" in point]))
    def the_server_is_killed(self, point: str) -> None:
        """Once on every island. No precondition: what can be chosen must not depend on which call came in time."""
        self._fit(self.island.run(None if self.island.server_crashes else Kill(point=point, server=True)))

    @invariant()
    def nothing_is_started_twice(self) -> None:
        if (self.island.folder / "state").exists():
            assert not [line for line in self.island.verdict().wrong if "was started" in line]

    def teardown(self) -> None:
        try:
            if hasattr(self, "island"):
                assert self.island.settle() == []
        finally:
            self._stack.close()

    def _fit(self, ended: list[Ended]) -> None:
        for one in ended:
            fine = (0, KILLED, FAILED, LOCKED, UNREACHABLE, *([QUOTA] if self.server.faults else []))
            assert one.code in fine, (one.outcome, one.stderr)
            assert not one.stderr


def test_no_order_of_crashes_edits_and_runs_breaks_a_promise(server: Server, web: Web, lanes: list[Forge]) -> None:
    look_for_trouble(server, web, lanes, examples=6, steps=8)


def test_no_order_of_them_breaks_one_on_a_server_whose_answers_go_wrong(
    web: Web, lanes: list[Forge], tmp_path: Path
) -> None:
    with running_server(tmp_path / "server", faults=f"{FAULTS}; seed=7") as faulty:
        look_for_trouble(faulty, web, lanes, examples=4, steps=6)


def look_for_trouble(server: Server, web: Web, lanes: list[Forge], *, examples: int, steps: int) -> None:
    Promises.server, Promises.web, Promises.forges = server, web, lanes
    run_state_machine_as_test(
        Promises,
        settings=settings(
            max_examples=10 * examples if DEEP else examples,
            stateful_step_count=20 if DEEP else steps,
            derandomize=not DEEP,
            deadline=None,
            database=None,
            phases=(Phase.explicit, Phase.generate, Phase.shrink) if DEEP else (Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )

"""Who may work on what: leases and fences, with real processes where it matters."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.runlog import Clock, Created, Fence, Intent, LeaseLost, Owner, RunLog, open_log
from tests.runlog.conftest import Others

LONG_S = 3600.0


def claim(log: RunLog, *keys: str, owner: Owner, ttl_s: float = LONG_S) -> dict[str, Fence]:
    return asyncio.run(log.claim(keys, owner, ttl_s))


def until(claimed: Callable[[], dict[str, Fence]]) -> dict[str, Fence]:
    """Ask until something is won."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if won := claimed():
            return won
    raise AssertionError("nothing was won")


def intent(key: str) -> Intent:
    return Intent(key=key, attempt=1, addresses=(), payload={}, cap=None, recipe="r", account="")


def append(log: RunLog, fence: Fence) -> None:
    asyncio.run(log.append(intent(fence.key), run_id="run-1", fence=fence))


def test_a_key_has_one_owner_at_a_time(log: RunLog) -> None:
    first, second = Owner.this_process(), Owner.this_process()

    won = claim(log, "a", "b", owner=first)

    assert set(won) == {"a", "b"}
    assert set(claim(log, "b", "c", owner=second)) == {"c"}
    assert claim(log, "a", "b", owner=first) == won


def test_a_key_given_back_goes_to_the_next_under_a_higher_fence(log: RunLog) -> None:
    first, second = Owner.this_process(), Owner.this_process()
    old = claim(log, "a", owner=first)

    asyncio.run(log.release(old))
    new = claim(log, "a", owner=second)

    assert new["a"].number > old["a"].number
    with pytest.raises(LeaseLost):
        append(log, old["a"])
    append(log, new["a"])


def test_a_fence_that_was_given_back_is_worth_nothing_even_if_nobody_took_it(log: RunLog) -> None:
    fences = claim(log, "a", owner=Owner.this_process())

    asyncio.run(log.release(fences))

    with pytest.raises(LeaseLost):
        append(log, fences["a"])


def test_giving_back_what_was_lost_takes_nothing_from_its_new_owner(log: RunLog) -> None:
    first, second = Owner.this_process(), Owner.this_process()
    old = claim(log, "a", owner=first)
    asyncio.run(log.release(old))
    new = claim(log, "a", owner=second)

    asyncio.run(log.release(old))

    assert asyncio.run(log.renew(new)) == frozenset()
    assert asyncio.run(log.renew(old)) == {"a"}


def test_leases_show_who_holds_them_and_for_how_long(log: RunLog) -> None:
    owner = Owner.this_process()
    claim(log, "a", "b", owner=owner, ttl_s=50)

    leases = log.leases()

    assert [(each.key, each.owner) for each in leases] == [("a", owner), ("b", owner)]
    assert all(40 < each.expires_in_s <= 50 for each in leases)


def test_two_processes_win_each_of_500_keys_exactly_once(where: str, others: Others) -> None:
    open_log(where).close()
    both = [others("claim-all", where, "500") for _ in range(2)]
    assert [each.hear() for each in both] == ["ready", "ready"]
    for each in both:
        each.tell()

    won = [json.loads(each.hear()) for each in both]

    assert sorted(won[0] + won[1]) == sorted(f"k{number}" for number in range(500))


def test_an_owner_that_was_killed_is_taken_over_at_once(where: str, others: Others) -> None:
    other = others("hold", where, "k", str(LONG_S))
    assert other.hear() == "held"

    with open_log(where) as log:
        owner = Owner.this_process()
        assert claim(log, "k", owner=owner) == {}
        other.end()

        assert set(claim(log, "k", owner=owner)) == {"k"}


def test_a_suspended_owner_learns_at_its_next_line_that_its_lease_is_gone(where: str, others: Others) -> None:
    other = others("hold", where, "k", "0.3")
    assert other.hear() == "held"
    other.tell()
    assert other.hear() == "appended"
    other.send(signal.SIGSTOP)

    with open_log(where) as log:
        owner = Owner.this_process()
        fence = until(lambda: claim(log, "k", owner=owner))["k"]
        other.send(signal.SIGCONT)
        other.tell()

        assert other.hear() == "lease lost"
        asyncio.run(log.append(Created(key="k", attempt=1, job_id="ours"), run_id="r", fence=fence))
        assert log.states()["k"].job_id == "ours"


def test_an_owner_that_beats_keeps_its_lease_beyond_the_first_term(where: str) -> None:
    clock = FakeClock()
    with open_log(where, clock=clock.clock()) as log:
        fences = claim(log, "k", owner=Owner.this_process(), ttl_s=30)
        for _ in range(10):
            clock.monotonic_s += 10
            assert asyncio.run(log.renew(fences, 30)) == frozenset()

        assert claim(log, "k", owner=Owner.this_process()) == {}


@pytest.mark.parametrize("jump_s", [-1e6, -3600.0, 3600.0, 1e6])
def test_a_clock_set_back_or_forward_takes_no_lease_away_and_keeps_none(tmp_path: Path, jump_s: float) -> None:
    clock = FakeClock()
    with open_log(tmp_path / "runs.db", clock=clock.clock()) as log:
        claim(log, "k", owner=Owner.this_process(), ttl_s=30)

        clock.now_s += jump_s
        early = claim(log, "k", owner=Owner.this_process())
        clock.monotonic_s += 31
        late = claim(log, "k", owner=Owner.this_process())

    assert early == {}
    assert set(late) == {"k"}


def test_an_owner_elsewhere_is_taken_over_after_it_was_seen_silent_for_its_term(tmp_path: Path) -> None:
    clock = FakeClock()
    with open_log(tmp_path / "runs.db", clock=clock.clock()) as log:
        far = Owner(token="far", host="far", boot_id="other", pid_namespace="x", pid=1, pid_started=1)
        fences = claim(log, "k", owner=far, ttl_s=30)
        owner = Owner.this_process()

        assert claim(log, "k", owner=owner) == {}
        clock.monotonic_s += 29
        assert claim(log, "k", owner=owner) == {}
        asyncio.run(log.renew(fences, 30))
        clock.monotonic_s += 29
        assert claim(log, "k", owner=owner) == {}
        clock.monotonic_s += 31
        assert set(claim(log, "k", owner=owner)) == {"k"}


def test_a_process_id_that_was_given_to_another_process_does_not_pass_for_the_owner(where: str) -> None:
    me = Owner.this_process()
    gone = Owner(
        token="gone",
        host=me.host,
        boot_id=me.boot_id,
        pid_namespace=me.pid_namespace,
        pid=me.pid,
        pid_started=me.pid_started - 1,
    )
    with open_log(where) as log:
        claim(log, "k", owner=gone)

        assert set(claim(log, "k", owner=me)) == {"k"}


def test_a_lock_file_that_somebody_removed_neither_kills_its_owner_nor_stops_it(tmp_path: Path) -> None:
    place = tmp_path / "runs.db"
    with open_log(place) as log, open_log(place) as other_log:
        first, second = Owner.this_process(), Owner.this_process()
        fences = claim(log, "k", owner=first)
        for each in (tmp_path / "owners").iterdir():
            each.unlink()

        assert claim(other_log, "k", owner=second) == {}
        append(log, fences["k"])


class FakeClock:
    """A clock that tests set; it begins where the real one stands, as the database's own can't be set."""

    def __init__(self) -> None:
        self.now_s = time.time()
        self.monotonic_s = time.monotonic()

    def clock(self) -> Clock:
        return Clock(now=lambda: self.now_s, monotonic=lambda: self.monotonic_s)

"""Places that the deliveries of one run take for themselves."""

from __future__ import annotations

import time

from runner.plan import Holdings


def test_what_is_given_up_is_free_and_what_others_have_stays_theirs() -> None:
    holdings = Holdings()
    mine, others = ("a[1]", 0), ("a[2]", 0)
    for path in ("/o/1", "/o/2"):
        holdings.claim(path, mine)
    holdings.claim("/o/3", others)

    holdings.give_up(mine)
    holdings.give_up(mine)

    assert [holdings.claim(path, others) for path in ("/o/1", "/o/2", "/o/3")] == [True] * 3
    assert not any(holdings.claim(path, mine) for path in ("/o/1", "/o/2", "/o/3"))


def test_ten_thousand_failed_deliveries_give_up_their_places_quickly() -> None:
    holdings = Holdings()
    claimants = [(f"a[{number}]", 0) for number in range(20_000)]
    for number, claimant in enumerate(claimants):
        holdings.claim(f"/o/{number}", claimant)
    began = time.process_time()

    for claimant in claimants[10_000:]:
        holdings.give_up(claimant)

    assert time.process_time() - began < 2
    assert len(holdings.claims) == 10_000

"""When to try again."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.client.pacing import Backoff, retry_after

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("120", 120),
        ("0", 0),
        ("86400", 600),
        ("9" * 400, 600),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0),
        ("Mon, 23 Nov 2026 13:00:00 +0100", 0),
        ("Mon, 23 Nov 9999 12:00:00 GMT", 600),
        (None, 5),
        ("", 5),
        ("-1", 5),
        ("1.5", 5),
        ("soon", 5),
        ("²", 5),
        ("Mon, 23 Nov 2026 12:00:30", 5),
        ("Mon, 99 Nov 2026 12:00:30 GMT", 5),
    ],
)
def test_the_servers_wish_is_read_in_both_forms(value: str | None, wait_s: float) -> None:
    assert retry_after(value, now=NOW) == wait_s


@given(value=st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{1,6} \d\d:\d\d:\d\d [A-Z+0-9-]{0,6}"))
def test_no_header_breaks_it_and_no_wait_is_out_of_bounds(value: str) -> None:
    assert 0 <= retry_after(value, now=NOW) <= 600


@given(seconds=st.integers(0, 600))
def test_a_date_means_the_seconds_until_then(seconds: int) -> None:
    then = (NOW + timedelta(seconds=seconds)).strftime("%a, %d %b %Y %H:%M:%S GMT")

    assert retry_after(then, now=NOW) == seconds


@given(seed=st.integers(), tries=st.integers(0, 20))
def test_waits_grow_to_a_limit_and_then_end(seed: int, tries: int) -> None:
    waits = list(Backoff(tries=tries).waits(random.Random(seed)))

    assert len(waits) == tries
    for number, wait_s in enumerate(waits):
        usual = min(0.5 * 2**number, 20)
        assert 0.75 * usual <= wait_s <= 1.25 * usual


def test_what_a_server_asks_for_is_waited_as_long_as_the_patience_lasts() -> None:
    patience = Backoff(tries=9, first_s=2.0, factor=1.0, most_asked_s=100.0).patience(random.Random(1))

    waits = [patience.next_s(asked_s) for asked_s in (60.0, 0.0, None, 40.0, 1.0)]

    assert (waits[0], waits[3], waits[4]) == (60.0, 40.0, None)
    assert all(wait_s is not None and 1.5 <= wait_s <= 2.5 for wait_s in waits[1:3])

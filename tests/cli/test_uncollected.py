"""The collector while many values are made."""

from __future__ import annotations

import gc

import pytest

from runner.cli.uncollected import uncollected


def test_what_is_made_meanwhile_is_left_out_of_later_searches() -> None:
    assert gc.isenabled()

    with uncollected():
        assert not gc.isenabled()
        made = [[] for _ in range(1000)]  # type: list[list[object]]

    assert gc.isenabled()
    assert not any(made[0] is one for one in gc.get_objects())


def test_the_collector_is_on_again_after_an_error_and_stays_off_where_it_was() -> None:
    with pytest.raises(ValueError, match="x"), uncollected():
        raise ValueError("x")
    assert gc.isenabled()

    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()

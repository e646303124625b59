"""What a completed job must show before its end is believed."""

from __future__ import annotations

from typing import Any

import pytest

from runner.execute.shown import shows_all
from runner.wire.job import read_job

HERE: dict[str, Any] = {"target": "webp"}
ELSEWHERE: dict[str, Any] = {"target": "webp", "output_target": [{"type": "ftp"}]}


@pytest.mark.parametrize(
    ("conversions", "outputs", "may_fail", "enough"),
    [
        ([HERE], 0, False, False),
        ([HERE], 1, False, True),
        ([HERE], 3, False, True),
        ([HERE, HERE], 1, False, False),
        ([HERE, HERE], 1, True, True),
        ([HERE, HERE], 0, True, False),
        ([ELSEWHERE], 0, False, True),
        ([HERE, ELSEWHERE], 1, False, True),
        ([HERE, ELSEWHERE], 0, False, False),
        ([], 0, False, True),
        (HERE, 0, False, False),
    ],
)
def test_every_conversion_leaves_an_output_unless_it_goes_elsewhere_or_may_fail(
    conversions: Any, outputs: int, *, may_fail: bool, enough: bool
) -> None:
    payload = {"conversion": conversions, **({"fail_on_conversion_error": False} if may_fail else {})}
    job = read_job({"output": [{"id": str(number)} for number in range(outputs)]})

    assert shows_all(job, payload) is enough

"""What a conversion costs: one credit per started minute, and at least one for each.

Only results count. A job that fails costs nothing; of a partial success only the steps are charged whose
files are in its outputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from runner.server.jobs.record import Step

LEAST = 1


def credits_of(wall_s: float, minute_s: float) -> int:
    """Credits for `wall_s` seconds of conversion; `minute_s` is how long a credit lasts."""
    return max(LEAST, math.ceil(wall_s / minute_s))


def seconds_for(credits_: int, minute_s: float) -> float:
    """How long a conversion may take to cost at most this much."""
    return credits_ * minute_s


def charged(steps: Iterable[Step]) -> int:
    return sum(step.credits for step in steps if step.files)

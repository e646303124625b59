"""How long something may take, as people write it: "90s", "20m", "2h", "1d"."""

from __future__ import annotations

import re

DURATION = 'a whole number from 1 to 999999999 (no zero in front) and s, m, h or d, such as "90s", "20m" or "2h"'
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(duration: str) -> float:
    """Seconds in what the schema allows for a duration. Raises ValueError for anything else."""
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", duration)
    if match is None:
        raise ValueError(f"a duration is {DURATION}")
    return float(int(match[1]) * _SECONDS[match[2]])

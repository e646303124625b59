"""Names of runs: they sort by time, and two runs at one moment differ."""

from __future__ import annotations

import os
from datetime import UTC, datetime

_PARTS_OF_A_SECOND = 4096
_MICROSECONDS = 1_000_000


def new_run_id(now: datetime) -> str:
    """A fresh id like `20261123T152600-ab12cd`: the second in UTC, the part of it, and chance. `now` has a zone."""
    part = now.microsecond * _PARTS_OF_A_SECOND // _MICROSECONDS
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S}-{part:03x}{int.from_bytes(os.urandom(2)) & 0xFFF:03x}"

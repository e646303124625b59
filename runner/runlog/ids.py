"""Names of runs: they sort by time, and two runs in one second differ."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime


def new_run_id(now: datetime) -> str:
    """A fresh id like `20261123T152600-ab12cd`. `now` has a zone; the id is in UTC."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"

"""What a server refuses for now: credits are used up (402), or too many jobs run (429)."""

from __future__ import annotations

# Seconds until a refused start is due again where the server doesn't say: quotas count by the day, places come sooner.
PARK_S = {402: 3600.0, 429: 60.0}
PARKED_STATUSES = frozenset(PARK_S)

"""Work that a server refused for now (402, 429): how long a plan leaves it alone, and what is said of that."""

from __future__ import annotations

from collections.abc import Mapping

from runner.compile import Job
from runner.state import KeyState
from runner.wire.values import Json


def parked_s(job: Job, state: KeyState, *, now: float) -> float:
    """Seconds until refused work is due again, 0 where it may be asked for now.

    Limits are the recipe's own word and no part of the key: what was refused with others says nothing about these.
    """
    return state.parked_s(now) if _limits(job.payload) == _limits(state.payload) else 0.0


def ways_out(payload: Mapping[str, Json]) -> str:
    """What makes a run ask for parked work before its time."""
    return "at once with --retry-failed" + (" or other limits" if _limits(payload) else "")


def _limits(payload: Mapping[str, Json]) -> Json:
    return payload.get("limits") or {}

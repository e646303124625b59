"""How long jobs of a recipe usually take, so that the first look comes when one is likely to be done."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable

from runner.state import KeyState

REMEMBERED = 50
MOST_S = 60.0


class Durations:
    """Seconds from start to end by recipe; `expected` is what three of four took at least."""

    def __init__(self, states: Iterable[KeyState] = ()) -> None:
        self._seconds: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=REMEMBERED))
        for state in states:
            if state.started_at is not None and state.finished_at is not None:
                self.add(state.recipe, state.finished_at - state.started_at)

    def add(self, recipe: str, seconds: float) -> None:
        """Clocks may jump: what can't have been is not remembered."""
        if 0 <= seconds <= 4 * 3600:
            self._seconds[recipe].append(seconds)

    def expected(self, recipe: str) -> float:
        known = sorted(self._seconds[recipe])
        return min(known[len(known) // 4], MOST_S) if known else 0.0

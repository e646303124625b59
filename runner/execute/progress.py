"""What a run tells whoever watches it; a terminal draws bars from it, cron draws nothing."""

from __future__ import annotations

from typing import Protocol

from runner.execute.outcome import Outcome
from runner.plan import Step


class Progress(Protocol):
    def begun(self, step: Step) -> None: ...

    def state(self, step: Step, text: str) -> None: ...

    def moved(self, step: Step, size_bytes: int) -> None:
        """`size_bytes` more were uploaded or downloaded for this step."""

    def ended(self, outcome: Outcome) -> None: ...


class Silent:
    def begun(self, step: Step) -> None:
        """Nobody watches."""

    def state(self, step: Step, text: str) -> None:
        """Nobody watches."""

    def moved(self, step: Step, size_bytes: int) -> None:
        """Nobody watches."""

    def ended(self, outcome: Outcome) -> None:
        """Nobody watches."""

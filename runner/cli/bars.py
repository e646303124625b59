"""Progress on a terminal: one line for the whole run, one for every job under way."""

from __future__ import annotations

from types import TracebackType
from typing import IO, Self

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from runner.execute.outcome import Outcome
from runner.plan import CHANGING, Plan, Step
from runner.report.plans import printable

MOST_LINES = 8
SHOWN_FROM_BYTES = 4 << 20


class _WhereCounted(ProgressColumn):
    """A column of the line for the whole run only: how far a single job is, nobody knows."""

    def __init__(self, column: ProgressColumn) -> None:
        super().__init__()
        self._column = column

    def render(self, task: Task) -> RenderableType:
        return self._column.render(task) if task.total is not None else ""


class Bars:
    """Use as a context: the lines are gone when it ends, the summary comes after."""

    def __init__(self, plan: Plan, *, file: IO[str]) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            _WhereCounted(BarColumn(bar_width=24, complete_style="green")),
            _WhereCounted(MofNCompleteColumn()),
            TimeElapsedColumn(),
            console=Console(file=file),
            transient=True,
        )
        total = sum(step.action in CHANGING for step in plan.steps)
        self._all = self._progress.add_task("converting", total=total)
        self._lines: dict[str, TaskID] = {}
        self._moved: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._progress.stop()

    def begun(self, step: Step) -> None:
        if len(self._lines) < MOST_LINES:
            self._lines[step.address] = self._progress.add_task(_label(step, "waiting"), total=None)

    def state(self, step: Step, text: str) -> None:
        line = self._lines.get(step.address)
        self._moved.pop(step.address, None)
        if line is not None:
            self._progress.update(line, description=_label(step, text))

    def moved(self, step: Step, size_bytes: int) -> None:
        """Bytes are shown where they are many: a line of a big file says how far it is."""
        line = self._lines.get(step.address)
        if line is not None:
            self._moved[step.address] = self._moved.get(step.address, 0) + size_bytes
            if self._moved[step.address] >= SHOWN_FROM_BYTES:
                text = f"{self._moved[step.address] / 1e6:,.0f} MB"
                self._progress.update(line, description=_label(step, text))

    def ended(self, outcome: Outcome) -> None:
        self._progress.update(self._all, advance=1)
        line = self._lines.pop(outcome.address, None)
        if line is not None:
            self._progress.remove_task(line)


def _label(step: Step, text: str) -> str:
    return f"{escape(printable(step.address)[:48])} [dim]{text}[/dim]"

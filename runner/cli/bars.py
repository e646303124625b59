"""Progress on a terminal: one line for the whole run, one for every job under way.

What matters stays legible however narrow the terminal is: how many are done, and the end of a job's address, which is
what tells it from its neighbours. The bar gives way first, then the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from runner.execute.outcome import Outcome
from runner.plan import CHANGING, Plan, Step
from runner.report.plans import printable

MOST_LINES = 8
SHOWN_FROM_BYTES = 4 << 20
BAR_CELLS, LEAST_BAR_CELLS = 24, 6
TIME_CELLS = len("0:00:00")
LEAST_LABEL_CELLS, LEAST_STATE_CELLS = 12, 4


class Bars:
    """Use as a context: the lines are gone when it ends, the summary comes after."""

    def __init__(self, plan: Plan, *, console: Console) -> None:
        total = sum(step.action in CHANGING for step in plan.steps)
        self._progress = _Lines(console=console)
        self._all = self._progress.add_task("converting", total=total)
        self._lines: dict[str, TaskID] = {}
        self._moved: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._progress.stop()

    def draw(self) -> None:
        """The lines as they are now, once."""
        self._progress.console.print(*self._progress.get_renderables(), sep="\n", end="")

    def begun(self, step: Step) -> None:
        if len(self._lines) < MOST_LINES:
            label = printable(step.address)
            self._lines[step.address] = self._progress.add_task(label, total=None, state="waiting")

    def state(self, step: Step, text: str) -> None:
        line = self._lines.get(step.address)
        self._moved.pop(step.address, None)
        if line is not None:
            self._progress.update(line, state=text)

    def moved(self, step: Step, size_bytes: int) -> None:
        """Bytes are shown where they are many: a line of a big file says how far it is."""
        line = self._lines.get(step.address)
        if line is not None:
            self._moved[step.address] = self._moved.get(step.address, 0) + size_bytes
            if self._moved[step.address] >= SHOWN_FROM_BYTES:
                self._progress.update(line, state=f"{self._moved[step.address] / 1e6:,.0f} MB")

    def ended(self, outcome: Outcome) -> None:
        self._progress.update(self._all, advance=1)
        line = self._lines.pop(outcome.address, None)
        if line is not None:
            self._progress.remove_task(line)


class _Lines(Progress):
    """The first task is the whole run, the others are jobs: their columns have nothing to do with each other."""

    def __init__(self, *, console: Console) -> None:
        self._is_plain = not console.encoding.startswith("utf")
        self._spinner = SpinnerColumn("line" if self._is_plain else "dots")
        self._count, self._time = MofNCompleteColumn(), TimeElapsedColumn()
        super().__init__(console=console, transient=True)

    def get_renderables(self) -> Iterable[RenderableType]:
        tasks = self.tasks
        if tasks:
            yield self._whole(tasks[0])
        if tasks[1:]:
            yield self._jobs(tasks[1:])

    def _whole(self, task: Task) -> Table:
        count = len(f"{int(task.total or 0)}") * 2 + 1
        left = self.console.width - len(f". {task.description} ") - count
        columns: list[ProgressColumn] = [self._count]
        if left > TIME_CELLS:
            columns.append(self._time)
            left -= TIME_CELLS + 1
        if left > LEAST_BAR_CELLS:
            columns.insert(0, BarColumn(bar_width=min(BAR_CELLS, left - 1), complete_style="green"))
        named = [Text(task.description)] if left >= 0 else []
        return _grid([[self._spinner(task), *named, *(column(task) for column in columns)]])

    def _jobs(self, tasks: Sequence[Task]) -> Table:
        """The address, what happens to it, the time; of a narrow line the address has what it needs."""
        width = self.console.width - len(". ")
        said = min(max(cell_len(task.fields["state"]) for task in tasks), width - LEAST_LABEL_CELLS - 1)
        left = width - said - 1 if said >= LEAST_STATE_CELLS else width
        timed = left - TIME_CELLS - 1 >= LEAST_LABEL_CELLS
        most = max(1, left - TIME_CELLS - 1 if timed else left)
        mark = "..." if self._is_plain else "…"
        rows = [
            [
                self._spinner(task),
                Text(shortened(task.description, most, mark=mark)),
                *([Text(_first(task.fields["state"], said), style="dim")] if said >= LEAST_STATE_CELLS else []),
                *([self._time(task)] if timed else []),
            ]
            for task in tasks
        ]
        return _grid(rows)


def shortened(text: str, cells: int, *, mark: str = "…") -> str:
    """`text` in at most so many cells: the middle gives way, and more of the end is kept than of the beginning."""
    if cell_len(text) <= cells:
        return text
    room = cells - cell_len(mark)
    if room < 2:
        return _last(text, cells)
    head = _first(text, room // 3)
    return f"{head}{mark}{_last(text, room - cell_len(head))}"


def _first(text: str, cells: int) -> str:
    """As much of the beginning as fits; a character may take two cells, or none."""
    while cell_len(text) > cells:
        text = text[:-1]
    return text


def _last(text: str, cells: int) -> str:
    while cell_len(text) > cells:
        text = text[1:]
    return text


def _grid(rows: Iterable[Sequence[RenderableType]]) -> Table:
    table = Table.grid(padding=(0, 1))
    for row in rows:
        while len(table.columns) < len(row):
            table.add_column(no_wrap=True)
        table.add_row(*row)
    return table

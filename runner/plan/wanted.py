"""Where the results of a job will lie: by the names that the server gave them, or as far as those can be predicted."""

from __future__ import annotations

from pathlib import Path

from runner.compile import Job
from runner.errors import InvalidError
from runner.state import KeyState


def wanted_paths(job: Job, state: KeyState | None, *, run_date: str) -> tuple[Path, ...]:
    """Empty where the names can't be known yet. Raises InvalidError like `Job.expected_paths`."""
    if state is None or not state.outputs:
        return job.expected_paths(run_date=run_date)
    names = job.result_names((output.filename for output in state.outputs), bought_with=dict(state.payload))
    try:
        return tuple(job.save.path_for(name, index=index, run_date=run_date) for index, name in enumerate(names))
    except InvalidError:  # a name that leads out of the folder is refused when it is delivered
        return job.expected_paths(run_date=run_date)

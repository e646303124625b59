"""Where the results of a job lie and will lie: as the server named them, or as far as that can be predicted."""

from __future__ import annotations

from runner.compile import Job
from runner.errors import InvalidError
from runner.state import DeliveredFile, KeyState, Stage
from runner.wire.values import as_object


def wanted_paths(job: Job, state: KeyState | None, *, run_date: str) -> tuple[str, ...]:
    """As text; empty where the names can't be known yet. Raises InvalidError like `Job.expected_paths`."""
    if state is None or not state.outputs:
        return job.expected_paths(run_date=run_date)
    names = job.result_names((output.filename for output in state.outputs), bought_with=as_object(state.payload))
    try:
        return job.save.places_for(names, run_date=run_date)
    except InvalidError:  # a name that leads out of the folder is refused when it is delivered
        return job.expected_paths(run_date=run_date)


def is_delivered(job: Job, state: KeyState | None, records: frozenset[DeliveredFile] | set[DeliveredFile]) -> bool:
    """Whether all is done and lies where the recipe wants it; `records` are the delivered files as we left them."""
    if state is None or state.stage is not Stage.FINISHED:
        return False
    delivery = state.deliveries.get(job.address)
    return delivery is not None and delivery.save == job.save.path and records.issuperset(delivery.files)

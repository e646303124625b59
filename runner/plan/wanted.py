"""Where the results of a job lie and will lie: as the server named them, or as far as that can be predicted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from runner.compile import Job
from runner.errors import InvalidError
from runner.state import DeliveredFile, Delivery, KeyState, Stage
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


def to_be_written(paths: Sequence[str], state: KeyState | None, records: Set[DeliveredFile]) -> Sequence[str]:
    """Of `paths` those where no result of this very work lies; what other work left there will be replaced."""
    if state is None or not state.deliveries:
        return paths
    files = (file for delivery in state.deliveries.values() for file in delivery.all_files)
    there = {file.path for file in files if file in records}
    return [path for path in paths if path not in there]


def is_delivered(job: Job, state: KeyState | None, records: frozenset[DeliveredFile] | set[DeliveredFile]) -> bool:
    """Whether all is done and lies where the recipe wants it; `records` are the delivered files as we left them."""
    if state is None or state.stage is not Stage.FINISHED:
        return False
    delivery = state.deliveries.get(job.address)
    if delivery is None or delivery.save != job.save.path:
        return False
    for _ in not_here(job, delivery, records):
        return False
    return True


def not_here(
    job: Job, delivery: Delivery, records: frozenset[DeliveredFile] | set[DeliveredFile]
) -> Iterator[DeliveredFile]:
    """What of a delivery isn't as we left it below the folder that the recipe saves to.

    Two copies of a project with one log have folders of their own: what was delivered to the other one stands for
    nothing here, unless the same bytes were delivered here before.
    """
    base = str(job.save.base)
    length = len(base)
    for file in delivery.files:
        # `is_below`, spelt out: a plan asks this a million times.
        if file.path.startswith(base) and file.path[length : length + 1] == "/":
            one: DeliveredFile | None = file
        else:
            one = file if is_below(file.path, base) else _counterpart(file, delivery, base)
        if one not in records:
            yield file


def files_here(job: Job, delivery: Delivery) -> tuple[DeliveredFile, ...]:
    """The files of a delivery, those of another copy of the project as they lie in this one."""
    base = str(job.save.base)
    return tuple(
        file if is_below(file.path, base) else _counterpart(file, delivery, base) or file for file in delivery.files
    )


def _counterpart(file: DeliveredFile, delivery: Delivery, base: str) -> DeliveredFile | None:
    same = (one for one in delivery.earlier if one.sha256 == file.sha256 != "" and is_below(one.path, base))
    return next(same, None)


def is_below(path: str, folder: str) -> bool:
    return path.startswith(folder) and (folder.endswith("/") or path[len(folder) : len(folder) + 1] == "/")

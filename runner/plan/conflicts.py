"""What lies where results would go, met by `save.on_conflict` before anything is bought or fetched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from runner.compile import Job
from runner.plan.actions import Action, Step, step_of
from runner.plan.known import Disk, Known
from runner.plan.wanted import not_here, to_be_written, wanted_paths
from runner.state import DeliveredFile, Delivery, KeyState, Stage, recipe_named_in

APART = "put {item.name}, a column or {output.index} into save.path, or set save.on_conflict to rename"
NAMES_APART = "two recipes have one name: set `name` in one of them, and save its results elsewhere"
RECIPES_APART = "put {recipe.name} into save.path, or give the recipes folders of their own"


def conflict(job: Job, known: Known, state: KeyState | None = None) -> Step | None:
    """What would keep a result from its place: found before anything is bought."""
    paths = wanted_paths(job, state, run_date=known.run_date)
    left = left_alone(job, known, state)
    if left and len(left) == len(paths):
        return step_of(job, Action.SKIP, f"{existing(left)} (on_conflict = skip)", state=state)
    steps = (_in_the_way(path, job, known, state) for path in paths)
    written = (path for path in to_be_written(paths, state, known.disk.records) if path not in left)
    folders = [path.rpartition("/")[0] or "/" for path in written] if paths else [str(job.save.base)]
    return next((step for step in steps if step is not None), None) or _closed(folders, job, known, state)


def left_alone(job: Job, known: Known, state: KeyState | None) -> Sequence[str]:
    """Paths of results that won't be written, since `on_conflict = "skip"` leaves what lies there."""
    if job.save.on_conflict != "skip":
        return ()
    paths = wanted_paths(job, state, run_date=known.run_date)
    return [path for path in paths if _is_taken(path, known.disk, _whose(path, job, known))]


def existing(paths: Sequence[str]) -> str:
    return f"{_listed(paths)} {'exists' if len(paths) == 1 else 'exist'}"


def _whose(path: str, job: Job, known: Known) -> Sequence[str]:
    return known.holdings.others(path, address=job.address, key=job.key)


def _is_taken(path: str, disk: Disk, whose: Sequence[str]) -> bool:
    return path in disk.present and (bool(whose) or path not in disk.intact)


def _closed(folders: Iterable[str], job: Job, known: Known, state: KeyState | None) -> Step | None:
    why = next((why for folder in folders if (why := known.disk.closed.get(folder))), None)
    return step_of(job, Action.BLOCKED, f"{why}; {_bought(state)}", state=state) if why else None


def _bought(state: KeyState | None) -> str:
    return "it is bought already" if state and state.stage is Stage.FINISHED else "nothing was bought"


def _in_the_way(path: str, job: Job, known: Known, state: KeyState | None) -> Step | None:
    policy, whose = job.save.on_conflict, _whose(path, job, known)
    if not _is_taken(path, known.disk, whose) or policy in ("rename", "skip"):
        return None
    if whose:
        return _others(path, whose, job, known, state)
    if path in known.disk.folders:
        return _folder(path, job, state)
    if policy == "overwrite":
        return None
    how = "was changed since an earlier run delivered it" if path in known.delivered else "is in the way"
    hint = "move it, or set save.on_conflict to overwrite, rename or skip"
    return step_of(job, Action.BLOCKED, f"{path} {how}; {_bought(state)}; {hint}", state=state)


def _others(path: str, whose: Sequence[str], job: Job, known: Known, state: KeyState | None) -> Step:
    reason = f"{path} holds the result of {_listed(whose)}; {_bought(state)}; {_apart(job, whose, known)}"
    return step_of(job, Action.BLOCKED, reason, state=state)


def _folder(path: str, job: Job, state: KeyState | None) -> Step:
    reason = f"{path} is a folder; {_bought(state)}; move it, or save elsewhere"
    return step_of(job, Action.BLOCKED, reason, state=state)


def _apart(job: Job, whose: Sequence[str], known: Known) -> str:
    if not known.holdings.rivals.isdisjoint(whose):
        return NAMES_APART
    return APART if any(recipe_named_in(address) == job.recipe for address in whose) else RECIPES_APART


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def held(delivery: Delivery, job: Job, known: Known, state: KeyState) -> Step | None:
    """What was delivered here and can't be again: another result has its place by now, a folder, or what was left."""
    for file in not_as_delivered(delivery, job, known.disk) if job.save.on_conflict != "rename" else ():
        whose = _whose(file.path, job, known)
        if whose:
            return _others(file.path, whose, job, known, state)
        if file.path in known.disk.folders:
            return _folder(file.path, job, state)
        if not file.sha256 and (in_the_way := _in_the_way(file.path, job, known, state)):
            return in_the_way
    return None


def not_as_delivered(delivery: Delivery, job: Job, disk: Disk) -> Iterator[DeliveredFile]:
    """What isn't as it was delivered; what `on_conflict = "skip"` leaves as it is doesn't count."""
    missing = not_here(job, delivery, disk.records)
    return (file for file in missing if job.save.on_conflict != "skip" or file.path not in disk.present)

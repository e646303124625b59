"""What came of a job that has ended, as the outcome of an address."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from posixpath import splitext

from runner.errors import ExitCode, counted
from runner.execute.deliver import Laid
from runner.execute.following import Ended
from runner.execute.outcome import Outcome, Status, Trouble
from runner.execute.shown import reasons
from runner.plan import FREE_IT, NAME_TAKEN, Step
from runner.state import DeliveredFile

FREED = f"{FREE_IT}; --retry-failed then buys another attempt"


def as_failed(step: Step, ended: Ended, *, spent: int) -> Outcome:
    troubles = tuple(
        Trouble(code=code, message=message, hint=FREED if code == NAME_TAKEN else "")
        for code, message in reasons(ended.job)
    )
    return Outcome(
        address=step.address,
        key=step.key,
        action=step.action,
        status=Status.FAILED,
        job_id=ended.job.id,
        spent=spent,
        errors=troubles or (Trouble(message=f"the job ended as '{ended.job.status}' and the API doesn't say why"),),
        exit_code=ExitCode.FAILED,
    )


def name_is_taken(ended: Ended) -> bool:
    """Another attempt would meet the same end, until somebody frees the name at the target."""
    return any(error.code == NAME_TAKEN for error in ended.job.errors)


def as_succeeded(step: Step, ended: Ended, laid: Sequence[Laid], *, spent: int) -> Outcome:
    files = tuple(one.file for one in laid if not one.left)
    return Outcome(
        address=step.address,
        key=step.key,
        action=step.action,
        status=Status.SUCCEEDED,
        job_id=ended.job.id,
        spent=spent,
        outputs=files,
        warnings=tuple(Trouble(code=one.code, message=one.message) for one in ended.job.warnings)
        + tuple(_misnamed(ended, files))
        + tuple(_late(ended))
        + tuple(kept_told(laid)),
    )


def kept_told(laid: Iterable[Laid]) -> Iterator[Trouble]:
    """Where results are now that somebody edited, so that nobody looks for their work in vain."""
    for one in laid:
        if one.kept is not None:
            yield Trouble(
                message=f"{one.file.path} was changed since it was delivered; what lay there is kept as {one.kept}"
            )


def _late(ended: Ended) -> Iterator[Trouble]:
    if ended.more:
        shown, more = counted(len(ended.job.outputs), "output"), counted(ended.more, "output")
        yield Trouble(
            message=f"job {ended.job.id} shows {shown} now, {more} more than when it ended; all of them are delivered"
        )


SAME_ENDINGS = {"jpeg": "jpg", "tif": "tiff", "htm": "html"}


def _ending(name: str) -> str:
    ending = splitext(name)[1].lower().lstrip(".")
    return SAME_ENDINGS.get(ending, ending)


def _misnamed(ended: Ended, files: tuple[DeliveredFile, ...]) -> Iterator[Trouble]:
    """Results whose name says another format than they have: several files of one conversion come packed."""
    if len(files) != len(ended.job.outputs):
        return
    for output, file in zip(ended.job.outputs, files, strict=True):
        ending, saved = _ending(output.filename), _ending(file.path)
        if ending != saved:
            yield Trouble(
                message=f"{file.path} is called a {ending or 'file without an ending'} by the API",
                hint="several files of one conversion come packed, unless merge or allow_multiple_outputs says "
                "otherwise; {output.ext} in save.path names a result for what it is",
            )

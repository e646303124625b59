"""Results that somebody edited and a redelivery put aside: told, so that nobody looks for their work in vain."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from runner.execute.disk import is_intact
from runner.execute.outcome import Outcome, Status, Trouble
from runner.plan import Step

_TELLING = 32  # characters of a name, of which the end may have had to go


@dataclass(frozen=True, kw_only=True, slots=True)
class Edited:
    """A file that lies where a result was delivered; the inode stays when it gets another name."""

    address: str
    path: Path
    inode: int


def edited_files(steps: Iterable[Step]) -> tuple[Edited, ...]:
    """What a redelivery of `steps` finds in its places that isn't as it was delivered. Reads files."""
    return tuple(one for step in steps for one in _edited(step))


def _edited(step: Step) -> Iterator[Edited]:
    delivery = step.state.deliveries.get(step.address) if step.state else None
    for file in delivery.files if delivery else ():
        with suppress(OSError):
            inode = os.lstat(file.path).st_ino
            if file.sha256 and not is_intact(file):
                yield Edited(address=step.address, path=Path(file.path), inode=inode)


def told_of(edited: Collection[Edited], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """`outcomes`, with a warning for each of `edited` that has another name by now."""
    if not edited:
        return list(outcomes)
    kept = [(one, to) for one in edited if (to := _where_now(one)) is not None]
    return [replace(outcome, warnings=(*outcome.warnings, *_warnings(outcome, kept))) for outcome in outcomes]


def _where_now(one: Edited) -> Path | None:
    beginning = one.path.name[:_TELLING]
    with suppress(OSError), os.scandir(one.path.parent) as entries:
        named = (e for e in entries if e.name.startswith(beginning) and e.name.endswith(".changed"))
        return next((Path(each.path) for each in named if each.inode() == one.inode), None)
    return None


def _warnings(outcome: Outcome, kept: Iterable[tuple[Edited, Path]]) -> Iterator[Trouble]:
    for one, to in kept:
        if one.address == outcome.address and outcome.status is Status.SUCCEEDED:
            yield Trouble(message=f"{one.path} was changed since it was delivered; what lay there is kept as {to}")

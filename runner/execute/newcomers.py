"""What other runs have put in places since the plan was made: nothing of ours takes it away."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from runner.execute.disk import is_announced, is_intact
from runner.execute.seen import seen_at
from runner.runlog import Delivered, DeliveryFailed, Finished, RunLog, StoredEvent, kind_of
from runner.state import DeliveredFile

_KINDS = frozenset(map(kind_of, (Delivered, DeliveryFailed, Finished)))


class _Put(NamedTuple):
    key: str
    address: str
    file: DeliveredFile


class _Made(NamedTuple):
    key: str
    checksum: str


@dataclass(kw_only=True, slots=True)
class Newcomers:
    """
    seen_to  the last line of the log that was looked at: at first, the last that the plan knew
    put      what other runs delivered since then, by path
    made     what they have the outputs of since then, by size: a file is put before the line that says so is written
    """

    log: RunLog
    run_id: str
    seen_to: int
    put: dict[str, _Put] = field(default_factory=dict)
    made: dict[int, list[_Made]] = field(default_factory=lambda: defaultdict(list))
    _turn: Lock = field(default_factory=Lock)

    def whose(self, path: Path, *, key: str) -> str:
        """The address of other work than `key` whose result another run has put at `path`, "" where none has."""
        seen = seen_at(path)
        if seen is None:
            return ""
        with self._turn:
            self._look()
            put, made = self.put.get(str(path)), tuple(self.made.get(seen.size_bytes, ()))
        if put is not None and put.key != key and is_intact(put.file):
            return put.address
        alike = (
            one.key
            for one in made
            if one.key != key and is_announced(path, size_bytes=seen.size_bytes, checksum=one.checksum)
        )
        return self._asked_by(next(alike, ""))

    def _asked_by(self, key: str) -> str:
        state = self.log.states([key]).get(key) if key else None
        return min(state.addresses, default="") if state else ""

    def _look(self) -> None:
        for line in self.log.events(kinds=_KINDS, after_seq=self.seen_to):
            self.seen_to = line.seq
            if line.run_id != self.run_id:
                self._note(line)

    def _note(self, line: StoredEvent) -> None:
        event = line.event
        if isinstance(event, Finished):
            for output in event.outputs:
                if output.checksum:
                    self.made[output.size_bytes].append(_Made(event.key, output.checksum))
        elif isinstance(event, Delivered | DeliveryFailed):
            for file in event.files:
                self.put[file.path] = _Put(event.key, event.address, file)

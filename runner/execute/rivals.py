"""Other runs that go for the same name at an output target.

The plan knows what was under way when it was made. What other runs start since then is looked at between the commit
point and the start, so that of two runs that want one name the first to commit starts, and the other one sees it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field

from runner.plan import TargetName, names_of_targets
from runner.runlog import RunLog
from runner.state import UNDER_WAY, Stage

_TAKES_ITS_NAMES = UNDER_WAY | {Stage.FINISHED, Stage.LOST}


@dataclass(kw_only=True, slots=True)
class Rivals:
    """
    seen_to  the last line of the log that was looked at: at first, the last that the plan knew
    own      of our keys the newest commit point
    others   of keys of other runs the oldest commit point since the plan, by names that their results go to, in
             whatever account
    """

    log: RunLog
    run_id: str
    seen_to: int
    own: dict[str, int] = field(default_factory=dict)
    others: dict[TargetName, dict[tuple[str, TargetName], int]] = field(default_factory=lambda: defaultdict(dict))

    def ahead(self, key: str, names: Collection[TargetName]) -> tuple[TargetName, str] | None:
        """One of `names` that other work takes, which was committed to before the work of `key`; and its job."""
        self._look()
        for name in sorted(names, key=str):
            committed = self.others[name.anywhere].items()
            ours = self.own.get(key, self.seen_to + 1)
            earlier = {
                other for (other, theirs), seq in committed if other != key and seq < ours and name.may_be(theirs)
            }
            for state in self.log.states(earlier).values() if earlier else ():
                if state.stage in _TAKES_ITS_NAMES:
                    return name, state.job_id
        return None

    def _look(self) -> None:
        new = self.log.starts_after(self.seen_to)
        states = self.log.states({line.key for line in new if line.run_id != self.run_id})
        for line in new:
            self.seen_to = line.seq
            if line.run_id == self.run_id:
                self.own[line.key] = line.seq
            elif line.key in states:
                for name in names_of_targets(states[line.key].payload):
                    self.others[name.anywhere].setdefault((line.key, name), line.seq)

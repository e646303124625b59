"""Whose results lie where. A result is replaced only for the address that it was delivered to; for any other it is
in the way.

An address that its recipe no longer asks for has nobody who misses its results: they may be replaced too. So may
what an address had before it asked for other work, which goes elsewhere: rows move up when one above them is removed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from runner.compile import Job
from runner.state import DeliveredFile, Delivery, KeyState, recipe_named_in

Claimant = tuple[str, int]  # an address, and which output of its job


class RecipeFile(NamedTuple):
    """A recipe by its name and its file, which is relative to the project."""

    name: str
    file: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Holdings:
    """
    files   results that are still what the run log says of them, by path
    holders for each path the addresses whose result lies there, with the key of the work
    alive   addresses that are asked for, with their jobs, None where those can't be compiled
    orphans addresses that their recipes no longer ask for
    rivals  of the holders those of other recipes with an equal name, called by their files
    claims  paths that deliveries of this run have taken for themselves; grows, as `files` and `holders` do
    claimed those paths by who has them
    run_date what `{run.date}` stands for where the jobs will save
    """

    files: dict[str, DeliveredFile] = field(default_factory=dict)
    holders: dict[str, dict[str, str]] = field(default_factory=dict)
    alive: Mapping[str, Job | None] = field(default_factory=dict)
    orphans: frozenset[str] = frozenset()
    rivals: frozenset[str] = frozenset()
    claims: dict[str, Claimant] = field(default_factory=dict)
    claimed: dict[Claimant, set[str]] = field(default_factory=dict)
    run_date: str = ""

    def others(self, path: str, *, address: str, key: str) -> tuple[str, ...]:
        """The other addresses whose results lie at `path` and must stay.

        Of addresses whose recipes weren't asked about nobody knows whether they are alive. Equal work is shared with
        them, so that a recipe may be renamed; what lies at `path` for both is then replaced for either.
        """
        holders = self.holders.get(path)
        if not holders:
            return ()
        equal = (key, holders.get(address, key))
        return tuple(
            sorted(
                other
                for other, its_key in holders.items()
                if other != address and other not in self.orphans and self._keeps(other, path, its_key, equal=equal)
            )
        )

    def _keeps(self, other: str, path: str, its_key: str, *, equal: tuple[str, ...]) -> bool:
        """Whether the result of `its_key` at `path` must stay for `other`, unless it is one of `equal` works."""
        if other not in self.alive:
            return its_key not in equal
        job = self.alive[other]
        if job is None or job.key == its_key:
            return True
        return its_key not in equal and self._may_save_to(path, job)

    def _may_save_to(self, path: str, job: Job) -> bool:
        expected = job.expected_paths(run_date=self.run_date)
        return not expected or path in expected  # names that can't be known yet may be any

    def claim(self, path: str, claimant: Claimant) -> bool:
        """Take `path` for one output for as long as this run lasts; False where another one has it."""
        if self.claims.setdefault(path, claimant) != claimant:
            return False
        self.claimed.setdefault(claimant, set()).add(path)
        return True

    def give_up(self, claimant: Claimant) -> None:
        for path in self.claimed.pop(claimant, ()):
            del self.claims[path]

    def put(self, file: DeliveredFile, *, address: str, key: str) -> None:
        """`file` lies there now, for `address`."""
        self.files[file.path] = file
        self.holders[file.path] = {address: key}

    def learn(self, newer: Holdings) -> None:
        """Take over what a later look showed; of what this run takes for itself it knows more."""
        self.files.update({path: file for path, file in newer.files.items() if path not in self.claims})
        self.holders.update({path: held for path, held in newer.holders.items() if path not in self.claims})

    def own(self) -> Holdings:
        """A copy that may grow."""
        return replace(self, files=dict(self.files), holders=dict(self.holders), claims={}, claimed={})


def holdings_of(
    states: Iterable[KeyState],
    records: frozenset[DeliveredFile],
    *,
    alive: Mapping[str, Job | None],
    recipes: frozenset[str],
    run_date: str,
    rivals: Collection[RecipeFile] = (),
) -> Holdings:
    """
    records  files that lie where they were delivered, unchanged; also those that no line of the log knows
    alive    addresses that are asked for, as in Holdings
    recipes  those of which `alive` holds all addresses, which are none where a recipe is gone
    rivals   recipes beside these that have the name of one of them: their addresses are spelt alike, and are others
    """
    holders: dict[str, dict[str, str]] = defaultdict(dict)
    orphans, rivaling = set(), set()
    for state in states:
        for address, delivery in state.deliveries.items():
            holder = address
            if rivals and RecipeFile(recipe_named_in(address), delivery.recipe_file) in rivals:
                holder = f"{delivery.recipe_file}: {address}"
                rivaling.add(holder)
            elif address not in alive and recipe_named_in(address) in recipes:
                orphans.add(address)
            for file in delivery.files:
                if file in records:
                    holders[file.path][holder] = state.key
    return Holdings(
        files={file.path: file for file in records},
        holders=dict(holders),
        alive=alive,
        orphans=frozenset(orphans),
        rivals=frozenset(rivaling),
        run_date=run_date,
    )


def copies_of(state: KeyState, *, intact: Callable[[DeliveredFile], bool]) -> tuple[DeliveredFile, ...]:
    """For each output of finished work a file here that holds it, in their order; empty where one has none."""
    deliveries = [delivery for _, delivery in sorted(state.deliveries.items())]
    whole = [one.files for one in deliveries if len(one.files) == len(state.outputs)]
    found = []
    for index, output in enumerate(state.outputs):
        digests = {files[index].sha256 for files in whole} - {""}
        copy = next((one for one in _files(deliveries) if one.sha256 in digests and intact(one)), None)
        if copy is None or output.size_bytes not in (0, copy.size_bytes):
            return ()
        found.append(copy)
    return tuple(found)


def _files(deliveries: Iterable[Delivery]) -> Iterable[DeliveredFile]:
    return (file for delivery in deliveries for file in delivery.all_files)

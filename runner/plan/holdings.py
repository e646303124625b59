"""Whose results lie where. A result is replaced only for the address that it was delivered to; for any other it is
in the way.

An address that its recipe no longer asks for has nobody who misses its results: they may be replaced too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from runner.state import DeliveredFile, Delivery, KeyState

Claimant = tuple[str, int]  # an address, and which output of its job


@dataclass(frozen=True, kw_only=True, slots=True)
class Holdings:
    """
    files   results that are still what the run log says of them, by path
    holders for each path the addresses whose result lies there, with the key of the work
    alive   addresses that are asked for
    orphans addresses that their recipes no longer ask for
    claims  paths that deliveries of this run have taken for themselves; grows, as `files` and `holders` do
    """

    files: dict[str, DeliveredFile] = field(default_factory=dict)
    holders: dict[str, dict[str, str]] = field(default_factory=dict)
    alive: frozenset[str] = frozenset()
    orphans: frozenset[str] = frozenset()
    claims: dict[str, Claimant] = field(default_factory=dict)

    def others(self, path: str, *, address: str, key: str) -> tuple[str, ...]:
        """The other addresses whose results lie at `path` and must stay.

        Of addresses whose recipes weren't asked about nobody knows whether they are alive. Equal work is shared with
        them, so that a recipe may be renamed; what lies at `path` for both is then replaced for either.
        """
        holders = self.holders.get(path)
        if not holders:
            return ()
        shared = address in holders
        return tuple(
            sorted(
                other
                for other, its_key in holders.items()
                if other != address
                and other not in self.orphans
                and (other in self.alive or (not shared and its_key != key))
            )
        )

    def claim(self, path: str, claimant: Claimant) -> bool:
        """Take `path` for one output for as long as this run lasts; False where another one has it."""
        return self.claims.setdefault(path, claimant) == claimant

    def give_up(self, claimant: Claimant) -> None:
        for path, whose in list(self.claims.items()):  # a copy made in one go: others may claim from their threads
            if whose == claimant:
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
        return replace(self, files=dict(self.files), holders=dict(self.holders), claims={})


def holdings_of(
    states: Iterable[KeyState], records: frozenset[DeliveredFile], *, alive: frozenset[str], recipes: frozenset[str]
) -> Holdings:
    """
    records  files that lie where they were delivered, unchanged; also those that no line of the log knows
    alive    addresses that are asked for, of these recipes
    """
    holders: dict[str, dict[str, str]] = defaultdict(dict)
    orphans = set()
    for state in states:
        for address, delivery in state.deliveries.items():
            if address not in alive and address.partition("[")[0] in recipes:
                orphans.add(address)
            for file in delivery.files:
                if file in records:
                    holders[file.path][address] = state.key
    return Holdings(
        files={file.path: file for file in records}, holders=dict(holders), alive=alive, orphans=frozenset(orphans)
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

"""Outputs that lie here already: the API counts downloads, and forgets."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from runner.execute.disk import is_intact
from runner.plan import copies_of
from runner.state import DeliveredFile, KeyState, OutputRecord
from runner.wire.addresses import masked
from runner.wire.job import JobOutput

Copies = dict[int, DeliveredFile]  # by the place of an output among those that its job shows


async def copies_here(state: KeyState, shown: Sequence[JobOutput]) -> Copies:
    """For outputs of finished work, as its job shows them now, the files here that hold them."""
    found = await intact_copies(state)
    places = places_of(state.outputs, shown)
    return {places[index]: file for index, file in enumerate(found) if index in places}


async def intact_copies(state: KeyState) -> Sequence[DeliveredFile]:
    return await asyncio.to_thread(copies_of, state, intact=is_intact)


def places_of(known: Sequence[OutputRecord], shown: Sequence[JobOutput]) -> dict[int, int]:
    """Where each output that the log knows stands among those that are shown now, as far as that is beyond doubt.

    An id says which is which only where no other output has it; else all that is known of them, which must be another
    for each. What stands behind the ? of an address may be a signature, and new each time.
    """
    if list(map(_all_of, known)) == list(map(_all_of, shown)):
        return dict(enumerate(range(len(known))))
    before, now = _identities(known), _identities(shown)
    known_times, times = Counter(before), Counter(now)
    alone = {name for name in known_times if known_times[name] == times[name] == 1}
    places = {name: place for place, name in enumerate(now)}
    return {index: places[name] for index, name in enumerate(before) if name in alone}


def as_noted(known: Sequence[OutputRecord], shown: Sequence[JobOutput]) -> tuple[JobOutput, ...]:
    """`shown` in the order that the log knows, what it doesn't know at the end: names may hold an output's number.

    As they are where one is missing.
    """
    places = places_of(known, shown)
    if len(places) < len(known):
        return tuple(shown)
    order = [places[index] for index in range(len(known))]
    return tuple(shown[place] for place in (*order, *(one for one in range(len(shown)) if one not in order)))


def _identities(outputs: Sequence[OutputRecord | JobOutput]) -> list[object]:
    ids = Counter(one.id for one in outputs)
    return [
        one.id if one.id and ids[one.id] == 1 else (*_all_of(one)[:-1], masked(one.uri).partition("?")[0])
        for one in outputs
    ]


def _all_of(one: OutputRecord | JobOutput) -> tuple[str, str, int, str, str]:
    return (one.id, one.filename, one.size_bytes, one.checksum, one.uri)

"""Taking turns: what else the machine does then weighs on both sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One round, in seconds or whatever both sides were measured in."""

    ours: float
    peer: float


def rounds(count: int, ours: Callable[[], float], peer: Callable[[], float], *, warm_up: bool = True) -> list[Pair]:
    """`count` rounds of ours and peer by turns; the first turn of each is thrown away, it fills the caches."""
    if warm_up:
        ours()
        peer()
    return [Pair(ours=ours(), peer=peer()) for _ in range(count)]

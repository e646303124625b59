"""The work that an address got last: what a plan holds the recipe's wishes against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from runner.state import KeyState


def newest_by_address(states: Iterable[KeyState]) -> Mapping[str, KeyState]:
    """The state of each address whose results came there last, which may have been bought long before."""
    newest: dict[str, KeyState] = {}
    for state in states:
        for address in state.addresses:
            other = newest.setdefault(address, state)
            if other is not state and _age(other, address) < _age(state, address):
                newest[address] = state
    return newest


def _age(state: KeyState, address: str) -> tuple[float, str]:
    delivery = state.deliveries.get(address)
    delivered_at = delivery.at if delivery else 0.0
    return (delivered_at or state.finished_at or state.started_at or 0.0, state.key)

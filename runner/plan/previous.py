"""The work that an address got last: what a plan holds the recipe's wishes against."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from runner.plan.holdings import RecipeFile
from runner.state import KeyState, recipe_named_in


def newest_by_address(states: Iterable[KeyState], rivals: Collection[RecipeFile] = ()) -> Mapping[str, KeyState]:
    """The state of each address whose results came there last, which may have been bought long before.

    rivals  other recipes whose addresses are spelt alike: what they got is nobody's work before
    """
    newest: dict[str, KeyState] = {}
    for state in states:
        for address in state.addresses:
            if rivals and _came_to(address, state) in rivals:
                continue
            other = newest.setdefault(address, state)
            if other is not state and _age(other, address) < _age(state, address):
                newest[address] = state
    return newest


def _came_to(address: str, state: KeyState) -> RecipeFile:
    delivery = state.deliveries.get(address)
    return RecipeFile(recipe_named_in(address), delivery.recipe_file if delivery else "")


def _age(state: KeyState, address: str) -> tuple[float, str]:
    delivery = state.deliveries.get(address)
    delivered_at = delivery.at if delivery else 0.0
    return (delivered_at or state.finished_at or state.started_at or 0.0, state.key)

"""A recipe expanded for one item: a payload whose local files are named but not yet looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from runner.compile.items import Item
from runner.compile.texts import text_slots, with_texts
from runner.recipe.finding import Steps
from runner.recipe.model import Recipe
from runner.recipe.template import expand, has_template, names
from runner.wire.values import Json, JsonObject, as_text

GLOB_CHARACTERS = frozenset("*?[")


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadSource:
    """A local input of a draft: a path relative to the recipe's folder, or a glob that may mean several."""

    input_index: int
    source: str
    is_glob: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """`payload` has the item put in; `sources` are its local inputs, `text_slots` places that need text of the item."""

    recipe: Recipe
    item: Item
    payload: JsonObject
    sources: tuple[UploadSource, ...]
    text_slots: tuple[Steps, ...] = ()

    @property
    def address(self) -> str:
        return f"{self.recipe.name}[{self.item.label}]" if self.recipe.foreach else self.recipe.name

    @property
    def scope(self) -> Mapping[str, Mapping[str, Json]]:
        """What templates see before the run and its outputs are known."""
        return scope_of(self.recipe, self.item)

    def payload_on(self, run_date: str) -> JsonObject:
        """The payload of a run on that UTC day."""
        scope = {**self.scope, "run": {"date": run_date}}
        return with_texts(expand(self.recipe.job, scope), self.recipe, self.text_slots, scope)


def scope_of(recipe: Recipe, item: Item) -> Mapping[str, Mapping[str, Json]]:
    return {"item": item.values, "vars": recipe.vars, "recipe": {"name": recipe.name}}


def drafts_of(recipe: Recipe, items: Iterable[Item]) -> tuple[Draft, ...]:
    """One draft an item, `{run.…}` left as it stands. What is the same for all of them they share."""
    sources = tuple(_upload_inputs(recipe.job))
    shared, slots = _shared(recipe), text_slots(recipe)
    return tuple([_draft(recipe, item, sources, shared, slots) for item in items])


def _shared(recipe: Recipe) -> JsonObject:
    """The fields of the job that no item has a part in."""
    return {
        field: expand(value, scope_of(recipe, Item()))
        for field, value in recipe.job.items()
        if not any(name.root == "item" for name in names(value))
    }


def _upload_inputs(job: JsonObject) -> Iterator[tuple[int, bool]]:
    for index, entry in enumerate(job.get("input", ())):
        if entry.get("type") == "upload":
            yield index, _is_glob(str(entry.get("source", "")))


def _is_glob(source: str) -> bool:
    """Only what is written as a glob is one: what a template expands to never is."""
    return not has_template(source) and not GLOB_CHARACTERS.isdisjoint(source)


def _draft(
    recipe: Recipe,
    item: Item,
    sources: Sequence[tuple[int, bool]],
    shared: JsonObject,
    slots: tuple[Steps, ...],
) -> Draft:
    scope = scope_of(recipe, item)
    payload: JsonObject = {
        field: shared[field] if field in shared else expand(value, scope) for field, value in recipe.job.items()
    }
    return Draft(
        recipe=recipe,
        item=item,
        payload=with_texts(payload, recipe, slots, scope) if slots else payload,
        text_slots=slots,
        sources=tuple(
            UploadSource(input_index=index, source=as_text(payload["input"][index]["source"]), is_glob=is_glob)
            for index, is_glob in sources
        ),
    )

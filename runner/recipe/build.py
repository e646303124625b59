"""From a checked document to a `Recipe`; nothing is checked here any more."""

from __future__ import annotations

from runner.recipe.duration import seconds
from runner.recipe.layers import Merged
from runner.recipe.model import DEFAULT_SAVE, Bucket, Budget, Foreach, Recipe, Save
from runner.recipe.normal import job_of
from runner.wire.values import Json, JsonObject, as_object


def build_recipe(merged: Merged, document: JsonObject, expanded: JsonObject, name: str) -> Recipe:
    """`document` as written (templates stay), `expanded` with constants put in (foreach is read from it)."""
    budget, deadline, save = document.get("budget"), expanded.get("deadline"), document.get("save")
    return Recipe(
        file=merged.file,
        folder=merged.file.parent,
        name=name,
        description=document.get("description", ""),
        owner=document.get("owner", ""),
        tags=tuple(document.get("tags", ())),
        vars=as_object(document.get("vars")),
        epoch=int(document.get("epoch", 0)),
        foreach=_foreach(expanded.get("foreach")),
        job=job_of(document),
        save=_save(save),
        budget=Budget(run=_whole(budget.get("run")), day=_whole(budget.get("day"))) if budget else None,
        retry=int(document.get("retry", 0)),
        deadline_s=seconds(deadline) if deadline else None,
        after=tuple(document.get("after", ())),
        layers=merged.layers,
    )


def _foreach(foreach: Json) -> Foreach | None:
    if not foreach:
        return None
    most = _whole(foreach.get("max_items"))
    if "files" in foreach:
        patterns, exclude = _texts(foreach["files"]), _texts(foreach.get("exclude", []))
        return Foreach(kind="files", patterns=patterns, exclude=exclude, max_items=most)
    if "rows" in foreach:
        return Foreach(kind="rows", rows=foreach["rows"], max_items=most)
    if "bucket" in foreach:
        return Foreach(
            kind="bucket", bucket=_bucket(foreach["bucket"]), exclude=_texts(foreach.get("exclude", [])), max_items=most
        )
    matrix = {name: tuple(values) for name, values in foreach["matrix"].items()}
    return Foreach(kind="matrix", matrix=matrix, max_items=most)


def _bucket(bucket: JsonObject) -> Bucket:
    return Bucket(
        source=bucket["source"],
        parameters=as_object(bucket.get("parameters")),
        credentials=as_object(bucket.get("credentials")),
        match=_texts(bucket.get("match", [])),
    )


def _save(save: Json) -> Save | None:
    if not save or "path" not in save:
        return Save(path=DEFAULT_SAVE, on_conflict=save["on_conflict"]) if save else None
    return Save(path=save["path"], on_conflict=save.get("on_conflict", "error"))


def _texts(value: Json) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _whole(value: Json) -> int | None:
    return None if value is None else int(value)

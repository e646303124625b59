"""Presets from requests: checked as the options of a conversion are."""

from __future__ import annotations

from dataclasses import replace

from runner.server.answers import invalid
from runner.server.jobs.fields import Fields
from runner.server.jobs.ids import new_id
from runner.server.jobs.targets import choose_target
from runner.server.store.presets import Preset
from runner.wire.values import Json, JsonObject

SCOPES = ("private", "public")
_MOST_NAME = 255


def new_preset(body: Json, *, account: str) -> Preset:
    """A preset from the body of `POST /presets`; raises ApiError 400 with every problem."""
    problems: dict[str, str] = {}
    fields = Fields(body, "", problems)
    preset = _checked(
        Preset(
            id=new_id(),
            account=account,
            name=_name(fields),
            target=_word(fields, "target", ""),
            category=_word(fields, "category", ""),
            scope=fields.choice("scope", "private", SCOPES),
            options=_options(fields),
        ),
        fields,
    )
    if problems:
        raise invalid(problems)
    return preset


def patched_preset(preset: Preset, body: Json) -> Preset:
    """`preset` with another name, scope, target or other options; raises ApiError 400 with every problem."""
    problems: dict[str, str] = {}
    fields = Fields(body, "", problems)
    target = _word(fields, "target", preset.target)
    patched = replace(
        preset,
        name=_name(fields) if "name" in fields else preset.name,
        target=target,
        category=_word(fields, "category", preset.category if target == preset.target else ""),
        scope=fields.choice("scope", preset.scope, SCOPES),
        options=_options(fields) if "options" in fields else preset.options,
    )
    patched = _checked(patched, fields)
    if problems:
        raise invalid(problems)
    return patched


def preset_document(preset: Preset, *, with_options: bool = True) -> JsonObject:
    """What clients read; the options are for its owner only."""
    document: JsonObject = {
        "id": preset.id,
        "name": preset.name,
        "target": preset.target,
        "category": preset.category,
        "scope": preset.scope,
    }
    return {**document, "options": preset.options} if with_options else document


def _checked(preset: Preset, fields: Fields) -> Preset:
    """`preset` with the category its target has; what is wrong is noted in `fields`."""
    return replace(preset, category=choose_target(preset.category, preset.target, preset.options, fields).category)


def _name(fields: Fields) -> str:
    name = fields.text("name", most=_MOST_NAME).strip()
    if not name:
        fields.wrong("name", "is missing: what to call the preset")
    return name


def _word(fields: Fields, name: str, default: str) -> str:
    return fields.text(name, default, most=_MOST_NAME).strip().lower()


def _options(fields: Fields) -> JsonObject:
    """The options as given; what a preset can't hold is noted."""
    options = {name: value for name, value in fields.table("options").items() if value is not None}
    if "preset" in options:
        fields.part("options").wrong("preset", "can't be in a preset")
    if "download_password" in options:
        fields.part("options").wrong("download_password", "can't be in a preset: others may read it")
    return {name: value for name, value in options.items() if name not in ("preset", "download_password")}

"""Handlers of `/presets`: the list is open to everybody, all else needs the key of the preset's account."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from runner.server.answers import json_answer, not_found
from runner.server.api.house import House
from runner.server.api.paging import one_page
from runner.server.jobs.presets import new_preset, patched_preset, preset_document
from runner.server.store.presets import Preset


async def list_presets(house: House, request: Request) -> Response:
    """The public ones, and with a key the account's own: filtered by category, target and words in the name."""
    visitor = house.door.visitor(request)
    account = visitor.account if visitor else None
    query = request.query_params
    found = house.presets.visible(account, query.get("category") or None, query.get("target") or None)
    wanted = [phrase.strip().lower() for phrase in query.get("filter", "").split(",") if phrase.strip()]
    shown = [
        preset_document(one, with_options=one.account == account)
        for one in found
        if all(phrase in one.name.lower() for phrase in wanted)
    ]
    return one_page(request, shown)


async def create_preset(house: House, request: Request) -> Response:
    caller = house.door.account_caller(request)
    preset = new_preset(await house.body(request), account=caller.account)
    await house.presets.put(preset)
    return json_answer(preset_document(preset), 201)


async def get_preset(house: House, request: Request) -> Response:
    return json_answer(preset_document(_own(house, request)))


async def patch_preset(house: House, request: Request) -> Response:
    preset = patched_preset(_own(house, request), await house.body(request))
    await house.presets.put(preset)
    return json_answer(preset_document(preset))


async def delete_preset(house: House, request: Request) -> Response:
    """Jobs that were made with it keep their options."""
    await house.presets.remove(_own(house, request).id)
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _own(house: House, request: Request) -> Preset:
    caller = house.door.account_caller(request)
    found = house.presets.own(request.path_params["preset_id"], caller.account)
    if found is None:
        raise not_found("preset")
    return found

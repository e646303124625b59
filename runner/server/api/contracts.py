"""`GET /contracts`: what the account bought, and what of it is left."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from runner.server.answers import json_answer
from runner.server.api.house import House
from runner.wire.values import JsonObject


async def show_contracts(house: House, request: Request) -> Response:
    """204 where there is no contract; one that is invoiced has no credits, since it has no end."""
    account = house.door.account_caller(request).account
    contract = house.config.contract
    if contract.kind == "unlimited":
        return Response(status_code=HTTPStatus.NO_CONTENT)
    await house.purse.open(account)
    entry: JsonObject = {
        "contract_type": "invoice" if contract.kind == "monthly" else contract.kind,
        "contract_creation_date": stamp(house.purse.since(account)),
    }
    remaining = house.purse.remaining(account)
    if remaining is None:
        return json_answer({"contracts": [entry]})
    bought = {"credits_bought": contract.credits} if contract.kind == "prepaid" else {}
    entry = {**entry, **bought, "credits_remaining": remaining}
    return json_answer({"contracts": [entry], "credits_remaining": remaining})


def stamp(moment: float) -> str:
    """As contracts and statistics write times: UTC, a blank, no zone."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S")

"""`/openapi.json`, and the same facts at `/schema` in the older form that older clients read."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit

import orjson
from starlette.requests import Request
from starlette.responses import Response

from runner.resources import openapi_document
from runner.server.answers import raw_json
from runner.server.api.house import House
from runner.wire.values import Json, JsonObject


async def show_openapi(house: House, request: Request) -> Response:
    return raw_json(_openapi(house.base_of(request)))


async def show_schema(house: House, request: Request) -> Response:
    return raw_json(_swagger(house.base_of(request)))


@lru_cache(maxsize=4)
def _openapi(base_url: str) -> bytes:
    return orjson.dumps({**openapi_document(), "servers": [{"url": base_url, "description": "This server"}]})


@lru_cache(maxsize=4)
def _swagger(base_url: str) -> bytes:
    document = openapi_document()
    address = urlsplit(base_url)
    return orjson.dumps(
        {
            "swagger": "2.0",
            "info": document["info"],
            "host": address.netloc,
            "basePath": address.path,
            "schemes": [address.scheme],
            "consumes": ["application/json"],
            "produces": ["application/json"],
            "tags": document["tags"],
            "paths": {
                path: {method: _operation(one, document["components"]) for method, one in operations.items()}
                for path, operations in document["paths"].items()
            },
            "definitions": _older(document["components"]["schemas"]),
        }
    )


def _operation(operation: JsonObject, known: JsonObject) -> JsonObject:
    given = [_found(one, known["parameters"]) for one in operation["parameters"]]
    parameters = [_parameter(one) for one in given if one["in"] != "cookie"]  # the older form has no cookies
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        parameters += _body(kind, content["schema"])
    responses = {status: _found(one, known["responses"]) for status, one in operation["responses"].items()}
    return {
        "operationId": operation["operationId"],
        "summary": operation["summary"],
        "tags": operation["tags"],
        "parameters": parameters,
        "responses": {status: {"description": one["description"]} for status, one in responses.items()},
    }


def _found(value: JsonObject, known: JsonObject) -> JsonObject:
    found: JsonObject = known[value["$ref"].rpartition("/")[2]] if "$ref" in value else value
    return found


def _parameter(parameter: JsonObject) -> JsonObject:
    """Type, enum and default stand beside the name there, and not in a schema."""
    plain = {name: value for name, value in parameter.items() if name in ("name", "in", "required", "description")}
    kept = {name: parameter["schema"][name] for name in ("type", "enum", "default") if name in parameter["schema"]}
    return {**plain, **kept}


def _body(kind: str, schema: JsonObject) -> list[JsonObject]:
    if kind != "multipart/form-data":
        return [{"name": "body", "in": "body", "required": True, "schema": _older(schema)}]
    required = schema["required"]
    return [
        {
            "name": name,
            "in": "formData",
            "type": "file" if one.get("format") == "binary" else "string",
            "required": name in required,
        }
        for name, one in schema["properties"].items()
    ]


def _older(value: Json) -> Json:
    """References point at `definitions`; of alternatives the older form knows only the first."""
    if isinstance(value, list):
        return [_older(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "oneOf" in value:
        return _older(value["oneOf"][0])
    older = {name: _older(one) for name, one in value.items() if name != "nullable"}
    if isinstance(older.get("$ref"), str):
        older["$ref"] = older["$ref"].replace("#/components/schemas/", "#/definitions/")
    return older

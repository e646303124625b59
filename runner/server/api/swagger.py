"""An OpenAPI 3 document in the older form, Swagger 2.0: as much of it as ours has. Pure.

Source: the OpenAPI Specification 2.0 and 3.0.3.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from runner.wire.values import Json, JsonObject

_JSON = "application/json"
_FORM = "multipart/form-data"
_BYTES = "application/octet-stream"
# What stands beside a parameter's or header's name there, and not in a schema.
_PLAIN = ("type", "format", "enum", "default", "pattern", "minimum", "maximum")


def swagger_document(document: JsonObject, base_url: str) -> JsonObject:
    address, known = urlsplit(base_url), document["components"]
    return {
        "swagger": "2.0",
        "info": document["info"],
        "host": address.netloc,
        "basePath": address.path,
        "schemes": [address.scheme],
        "consumes": [_JSON],
        "produces": [_JSON],
        "tags": document["tags"],
        "securityDefinitions": known["securitySchemes"],
        "paths": {
            path: {method: _operation(one, known) for method, one in operations.items()}
            for path, operations in document["paths"].items()
        },
        "definitions": _older(known["schemas"]),
    }


def _operation(operation: JsonObject, known: JsonObject) -> JsonObject:
    asked = operation.get("requestBody", {})
    responses = {status: _found(one, known["responses"]) for status, one in operation["responses"].items()}
    return {
        "operationId": operation["operationId"],
        "summary": operation["summary"],
        "tags": operation["tags"],
        "security": operation["security"],
        **({"consumes": [_FORM]} if _FORM in asked.get("content", {}) else {}),
        **({"produces": [_BYTES, _JSON]} if any(map(_is_file, responses.values())) else {}),
        "parameters": [*map(_parameter, _given(operation, known)), *_body(asked)],
        "responses": {status: _response(one, known["headers"]) for status, one in responses.items()},
    }


def _given(operation: JsonObject, known: JsonObject) -> list[JsonObject]:
    """Its parameters, without cookies, which the older form has not, and without the keys that it names as security.

    Clients of the older form refuse a header that is both (bravado does).
    """
    keys = {known["securitySchemes"][name]["name"] for one in operation["security"] for name in one}
    given = [_found(one, known["parameters"]) for one in operation["parameters"]]
    return [one for one in given if one["in"] != "cookie" and one["name"] not in keys]


def _found(value: JsonObject, known: JsonObject) -> JsonObject:
    found: JsonObject = known[value["$ref"].rpartition("/")[2]] if "$ref" in value else value
    return found


def _parameter(parameter: JsonObject) -> JsonObject:
    plain = {name: value for name, value in parameter.items() if name in ("name", "in", "required", "description")}
    return {**plain, **_as_plain(parameter["schema"])}


def _as_plain(schema: JsonObject) -> JsonObject:
    return {name: schema[name] for name in _PLAIN if name in schema}


def _body(asked: JsonObject) -> list[JsonObject]:
    """A body in JSON is one parameter, a form one for each of its fields."""
    content = asked.get("content", {})
    if _FORM in content:
        return _form(content[_FORM]["schema"])
    return [
        {
            "name": "body",
            "in": "body",
            "required": asked["required"],
            "description": asked["description"],
            "schema": _older(one["schema"]),
        }
        for one in content.values()
    ]


def _form(schema: JsonObject) -> list[JsonObject]:
    return [
        {
            "name": name,
            "in": "formData",
            "type": "file" if one.get("format") == "binary" else one["type"],
            "required": name in schema["required"],
            "description": one["description"],
        }
        for name, one in schema["properties"].items()
    ]


def _response(response: JsonObject, known: JsonObject) -> JsonObject:
    headers = {name: _found(one, known) for name, one in response["headers"].items()}
    older = {
        "description": response["description"],
        "headers": {
            name: {"description": one["description"], **_as_plain(one["schema"])} for name, one in headers.items()
        },
    }
    for content in response.get("content", {}).values():
        older["schema"] = {"type": "file"} if _is_file(response) else _older(content["schema"])
    return older


def _is_file(response: JsonObject) -> bool:
    return any(one["schema"].get("format") == "binary" for one in response.get("content", {}).values())


def _older(value: Json) -> Json:
    """References point at `definitions`; of alternatives the older form knows only the first."""
    if isinstance(value, list):
        return [_older(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "oneOf" in value:
        return _older(value["oneOf"][0])
    older = {name: _older(one) for name, one in value.items()}
    if isinstance(older.get("$ref"), str):
        older["$ref"] = older["$ref"].replace("#/components/schemas/", "#/definitions/")
    return older

"""What a PATCH names and can't change: refused where it isn't what the job has already. Pure.

Clients send back whole documents that they have read, perhaps a while ago, or what they made the job of. So a value
counts as the same in every form in which it is given or shown, what isn't named isn't looked at, and neither is what
only the server sets.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from runner.server.jobs.fields import Fields
from runner.server.jobs.record import Conversion, Input, Job
from runner.wire.addresses import masked
from runner.wire.values import Json, JsonObject, as_list, as_object

P = TypeVar("P", Conversion, Input)
Differs = Callable[[P, Fields], Iterator[str]]

_PASSWORD = "download_password"


@dataclass(frozen=True, kw_only=True, slots=True)
class Secrets:
    """What no record holds in the open, to compare with what a PATCH names.

    credentials  those of a part, by its id
    passwords    passwords with their hashes, of those in `passwords_to_compare` the ones that belong together
    """

    credentials: Callable[[str], JsonObject | None]
    passwords: Collection[tuple[str, str]] = ()


def check_job(job: Job, fields: Fields, secrets: Secrets) -> None:
    """Note in `fields` where a PATCH of `job` names other conversions or inputs than it has."""
    as_conversion = partial(_differs_as_conversion, secrets=secrets)
    _check_parts(fields, "conversion", job.conversions, as_conversion, "conversions")
    _check_parts(fields, "input", job.inputs, partial(_differs_as_input, secrets=secrets), "input")


def passwords_to_compare(job: Job, body: Json) -> Iterator[tuple[str, str]]:
    """Passwords that a PATCH of `job` names for its conversions, each with the hash that it has to have."""
    fields = Fields(body, "", {})
    if _are_more(fields, "conversion", job.conversions):
        return
    for number, given in enumerate(fields.array("conversion")):
        conversion = _part(job.conversions, number, given)
        password = given.part("options").raw(_PASSWORD)
        if password and conversion and conversion.password:
            yield str(password), conversion.password


def check_conversion(conversion: Conversion, fields: Fields, secrets: Secrets) -> None:
    for name in conversion_differs(conversion, fields, secrets):
        fields.wrong(name, "can't be changed: delete this conversion, and add another one")


def check_input(entry: Input, fields: Fields) -> None:
    for name in input_differs(entry, fields):
        fields.wrong(name, "can't be changed: delete this input, and add another one")


def conversion_differs(conversion: Conversion, given: Fields, secrets: Secrets) -> Iterator[str]:
    """Names of what no PATCH of a conversion changes, and `given` wants to be otherwise."""
    if "target" in given and not _same(given.raw("target"), conversion.target):
        yield "target"
    if given.raw("category") and not _same(given.raw("category"), conversion.category):
        yield "category"
    known = as_object(secrets.credentials(conversion.id))
    if "output_target" in given and not _same_targets(given.raw("output_target"), conversion, known):
        yield "output_target"


def input_differs(entry: Input, given: Fields) -> Iterator[str]:
    """As `conversion_differs`, of an input."""
    for name, known in (("type", entry.type), ("engine", entry.engine)):
        if given.raw(name) and not _same(given.raw(name), known):
            yield name
    if given.raw("source") and not _same_source(given.raw("source"), entry):
        yield "source"


def _check_parts(fields: Fields, name: str, known: Sequence[P], differs: Differs[P], path: str) -> None:
    if _are_more(fields, name, known) or any(
        _is_another(known, number, given, differs) for number, given in enumerate(fields.array(name))
    ):
        fields.wrong(name, f"can't be changed here; use /jobs/{{id}}/{path}")


def _are_more(fields: Fields, name: str, known: Sequence[P]) -> bool:
    return len(as_list(fields.raw(name))) > len(known)


def _is_another(known: Sequence[P], number: int, given: Fields, differs: Differs[P]) -> bool:
    part = _part(known, number, given)
    return part is None or any(differs(part, given))


def _part(known: Sequence[P], number: int, given: Fields) -> P | None:
    """Which one is meant: that of the same id, else that of the same place."""
    if "id" in given:
        return next((one for one in known if one.id == given.raw("id")), None)
    return known[number] if number < len(known) else None


def _differs_as_conversion(conversion: Conversion, given: Fields, secrets: Secrets) -> Iterator[str]:
    yield from conversion_differs(conversion, given, secrets)
    wanted = dict(as_object(given.raw("options")))
    password = wanted.pop(_PASSWORD, None)
    if password and (str(password), conversion.password) not in secrets.passwords:
        yield _PASSWORD
    if not (_within(wanted, conversion.options) or _within(wanted, conversion.given)):
        yield "options"
    if not _within(given.raw("metadata"), conversion.metadata):
        yield "metadata"


def _differs_as_input(entry: Input, given: Fields, secrets: Secrets) -> Iterator[str]:
    yield from input_differs(entry, given)
    if not _within(given.raw("options"), entry.options):
        yield "options"
    if not _within(given.raw("parameters"), entry.parameters):
        yield "parameters"
    if not _same_credentials(given.raw("credentials"), secrets.credentials(entry.id)):
        yield "credentials"
    if given.raw("filename") and not entry.filename.startswith(str(given.raw("filename"))):  # it gets an extension
        yield "filename"


def _within(wanted: Json, known: Mapping[str, Json]) -> bool:
    return all(value is None or _same(value, known.get(name)) for name, value in as_object(wanted).items())


def _same_credentials(wanted: Json, known: Json) -> bool:
    """Those that the part has, or none: they are never shown."""
    has = as_object(known)
    return all(value is None or value == has.get(name) for name, value in as_object(wanted).items())


def _same_targets(given: Json, conversion: Conversion, credentials: JsonObject) -> bool:
    """The same places, and with what they are opened; their status is the server's."""
    wanted = [as_object(one) for one in (as_list(given) if isinstance(given, list) else [given])]
    known = conversion.output_target
    return not wanted or (
        len(wanted) == len(known)
        and all(
            _same(one.get("type"), other["type"])
            and as_object(one.get("parameters")) == other["parameters"]
            and _same_credentials(one.get("credentials"), credentials.get(str(number)))
            for number, (one, other) in enumerate(zip(wanted, known, strict=True))
        )
    )


def _same_source(given: Json, entry: Input) -> bool:
    source = str(given).strip()
    if entry.type == "base64":  # only its beginning is kept
        return bool(entry.source) and source.startswith(entry.source)
    return source in (entry.source, masked(entry.source))


def _same(given: Json, known: Json) -> bool:
    """Also where one is a string and the other a number, as requests have them."""
    return given == known or str(given).strip().lower() == str(known).lower()

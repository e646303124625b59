"""What a PATCH names and can't change: refused where it isn't what the job has already. Pure.

Clients send back whole documents that they have read, perhaps a while ago, or what they made the job of. So a value
counts as the same in every form in which it is given or shown, what isn't named isn't looked at, and neither is what
only the server sets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from runner.server.jobs.fields import Fields
from runner.server.jobs.record import Conversion, Input, Job
from runner.wire.addresses import masked
from runner.wire.values import Json, as_list, as_object

P = TypeVar("P", Conversion, Input)
Differs = Callable[[P, Fields], Iterator[str]]

# Options that are shown in another form than they are given in, or not at all.
_NOT_COMPARED = frozenset({"preset", "download_password"})


def check_job(job: Job, fields: Fields) -> None:
    """Note in `fields` where a PATCH of `job` names other conversions or inputs than it has."""
    _check_parts(fields, "conversion", job.conversions, _differs_as_conversion, "conversions")
    _check_parts(fields, "input", job.inputs, _differs_as_input, "input")


def check_conversion(conversion: Conversion, fields: Fields) -> None:
    for name in conversion_differs(conversion, fields):
        fields.wrong(name, "can't be changed: delete this conversion, and add another one")


def check_input(entry: Input, fields: Fields) -> None:
    for name in input_differs(entry, fields):
        fields.wrong(name, "can't be changed: delete this input, and add another one")


def conversion_differs(conversion: Conversion, given: Fields) -> Iterator[str]:
    """Names of what no PATCH of a conversion changes, and `given` wants to be otherwise."""
    if "target" in given and not _same(given.raw("target"), conversion.target):
        yield "target"
    if given.raw("category") and not _same(given.raw("category"), conversion.category):
        yield "category"
    if "output_target" in given and not _same_targets(given.raw("output_target"), conversion):
        yield "output_target"


def input_differs(entry: Input, given: Fields) -> Iterator[str]:
    """As `conversion_differs`, of an input."""
    for name, known in (("type", entry.type), ("engine", entry.engine)):
        if given.raw(name) and not _same(given.raw(name), known):
            yield name
    if given.raw("source") and not _same_source(given.raw("source"), entry):
        yield "source"


def _check_parts(fields: Fields, name: str, known: Sequence[P], differs: Differs[P], path: str) -> None:
    more = len(as_list(fields.raw(name))) > len(known)
    if more or any(_is_another(known, number, given, differs) for number, given in enumerate(fields.array(name))):
        fields.wrong(name, f"can't be changed here; use /jobs/{{id}}/{path}")


def _is_another(known: Sequence[P], number: int, given: Fields, differs: Differs[P]) -> bool:
    part = _part(known, number, given)
    return part is None or any(differs(part, given))


def _part(known: Sequence[P], number: int, given: Fields) -> P | None:
    """Which one is meant: that of the same id, else that of the same place."""
    if "id" in given:
        return next((one for one in known if one.id == given.raw("id")), None)
    return known[number] if number < len(known) else None


def _differs_as_conversion(conversion: Conversion, given: Fields) -> Iterator[str]:
    yield from conversion_differs(conversion, given)
    if not (_within(given, "options", conversion.options) or _within(given, "options", conversion.given)):
        yield "options"
    if not _within(given, "metadata", conversion.metadata):
        yield "metadata"


def _differs_as_input(entry: Input, given: Fields) -> Iterator[str]:
    yield from input_differs(entry, given)
    if not _within(given, "options", entry.options):
        yield "options"
    if not _within(given, "parameters", entry.parameters):
        yield "parameters"
    if given.raw("filename") and not entry.filename.startswith(str(given.raw("filename"))):  # it gets an extension
        yield "filename"


def _within(given: Fields, name: str, known: Mapping[str, Json]) -> bool:
    wanted = as_object(given.raw(name))
    return all(
        option in _NOT_COMPARED or value is None or _same(value, known.get(option)) for option, value in wanted.items()
    )


def _same_targets(given: Json, conversion: Conversion) -> bool:
    """The same places; their status is the server's, and credentials are never shown."""
    wanted = [as_object(one) for one in (as_list(given) if isinstance(given, list) else [given])]
    known = conversion.output_target
    return not wanted or (
        len(wanted) == len(known)
        and all(
            _same(one.get("type"), other["type"]) and as_object(one.get("parameters")) == other["parameters"]
            for one, other in zip(wanted, known, strict=True)
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

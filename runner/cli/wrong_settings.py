"""Settings that can't be, in the words and with the places that recipes get: a variable by name, a file by line."""

from __future__ import annotations

from pathlib import Path

from runner.errors import InvalidError, InvalidSettings, Place, Problem
from runner.recipe.place import Layer, place_in, place_of
from runner.recipe.read import read_file
from runner.recipe.suggest import did_you_mean, listed, shown
from runner.settings import KNOWN, Fault, WrongSettings

_WORDS = {
    "int": "must be a whole number",
    "string": "must be text",
    "path": "must be text",
    "tuple": "must be an array",
    "model": "must be a table",
    "dict": "must be a table",
    "bool": "must be true or false",
}


def in_our_words(error: WrongSettings, file: Path | None) -> InvalidError:
    """The error to raise instead: all that is wrong, at once."""
    problems = [_problem(fault, file) for fault in error.faults if file is not None and not fault.variable]
    said = [f"{fault.variable} {_said(fault)[0]}" for fault in error.faults if fault.variable]
    if not said:
        return InvalidSettings(sorted(problems, key=lambda one: (one.place.line, one.place.column)))
    said += [f"{one.place.file}:{one.place.line}:{one.place.column}: {one.message}" for one in problems]
    return InvalidError("; ".join(said))


def unreadable(error: InvalidError, file: Path | None) -> InvalidError:
    """The error for a file that is no TOML, at the place where it stops to be."""
    findings = read_file(file).findings if file is not None else ()
    problems = [
        Problem(
            place=place_of(one.file, one.span) if one.file and one.span else Place(file=file or Path()),
            code=one.code,
            message=one.message,
            hint=one.hint,
            secret=True,  # nobody knows what stands in a file that can't be read
        )
        for one in findings
        if one.span is not None
    ]
    return InvalidSettings(problems) if problems else error


def _problem(fault: Fault, file: Path | None) -> Problem:
    unknown = fault.kind == "extra_forbidden"
    message, hint = _said(fault)
    place = place_in((Layer(file=file or Path()),), fault.path, key=unknown)
    name = "" if unknown else f"{fault.path[-1]} "
    code = "unknown-key" if unknown else "wrong-value"
    # Of settings no value is ever shown: what is misspelt may be a key, and a database's URL hold a password.
    return Problem(place=place, code=code, message=f"{name}{message}", hint=hint, secret=True)


def _said(fault: Fault) -> tuple[str, str]:
    if fault.kind == "extra_forbidden":
        known = KNOWN.get(tuple(str(step) for step in fault.path[:-1]), frozenset())
        near = did_you_mean(str(fault.path[-1]), known)
        return f"unknown setting {shown(str(fault.path[-1]))}{near}", "" if near else f"there are {listed(known)}"
    for bound, word in (("ge", "at least"), ("le", "at most")):
        if bound in fault.bounds:
            return f"must be {word} {fault.bounds[bound]}", ""
    return _WORDS.get(fault.kind.partition("_")[0], fault.said[:1].lower() + fault.said[1:]), ""

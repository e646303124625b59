"""Which template names exist where in a recipe, and what a check can put in already.

`vars` and `recipe` are known from the start, so they are put in before anything is checked: a quality of
`{vars.quality}` is checked like a number. `item` and `run` come later, `output` when a result is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runner.errors import InvalidError
from runner.recipe.finding import Finding, Steps
from runner.recipe.normal import API_FIELDS
from runner.recipe.suggest import did_you_mean
from runner.recipe.template import Name, parsed
from runner.wire.values import Json, JsonObject, as_object

FILE_NAMES = frozenset({"path", "name", "stem", "dir"})
RUN_NAMES = frozenset({"date"})
OUTPUT_NAMES = frozenset({"filename", "stem", "ext", "index"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Expanded:
    """A document with its constants put in, and what is wrong with its templates."""

    document: JsonObject
    findings: tuple[Finding, ...]


def expand_constants(document: JsonObject, name: str) -> Expanded:
    """`document` with `vars` and `recipe` put in, and a finding for every name that doesn't exist where it stands."""
    constants = {"vars": as_object(document.get("vars")), "recipe": {"name": name}}
    item = _item_names(document.get("foreach"))
    in_save = item if item is None else item | {"dir"}  # empty where no file lies behind it
    walk = _Walk(constants=constants, findings=[])
    made = dict(document)
    for field in API_FIELDS:
        if field in made:
            made[field] = walk.expand(made[field], (field,), {"item": item, "run": RUN_NAMES})
    if "foreach" in made:
        made["foreach"] = walk.expand(made["foreach"], ("foreach",), {})
    if "save" in made:
        known = {"item": in_save, "run": RUN_NAMES, "output": OUTPUT_NAMES}
        made["save"] = walk.expand(made["save"], ("save",), known)
    for field in ("vars", "name"):
        walk.refuse(made.get(field), (field,))
    return Expanded(document=made, findings=tuple(walk.findings))


def _item_names(foreach: Json) -> frozenset[str] | None:
    """What stands behind `item.`; None where any name may."""
    kinds = as_object(foreach)
    if "rows" in kinds:
        return None
    if "matrix" in kinds:
        return frozenset(as_object(kinds["matrix"]))
    return FILE_NAMES if {"files", "bucket"} & kinds.keys() else frozenset()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Walk:
    """Puts constants in; `findings` grows."""

    constants: Mapping[str, Mapping[str, Json]]
    findings: list[Finding]

    def expand(self, value: Json, path: Steps, known: Mapping[str, frozenset[str] | None]) -> Json:
        if isinstance(value, str):
            return self._text(value, path, known) if "{" in value else value
        if isinstance(value, dict):
            return {key: self.expand(inner, (*path, key), known) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.expand(inner, (*path, i), known) for i, inner in enumerate(value)]
        return value

    def refuse(self, value: Json, path: Steps) -> None:
        """Templates where nobody would expand them: in constants and in the name itself."""
        if isinstance(value, str) and "{" in value and parsed(value).names:
            message = f"templates are not expanded in {path[0]}"
            self._add(path, "template-here", message, "write the value itself")
        elif isinstance(value, dict):
            for key, inner in value.items():
                self.refuse(inner, (*path, key))
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                self.refuse(inner, (*path, index))

    def _text(self, text: str, path: Steps, known: Mapping[str, frozenset[str] | None]) -> Json:
        template = parsed(text)
        if not template.names:
            return text
        faults = [fault for name in template.names if (fault := self._fault(name, known))]
        for message, hint in faults:
            self._add(path, "unknown-name", message, hint)
        if faults:
            return text
        try:
            return template.expand(self.constants)
        except InvalidError as error:
            self._add(path, "wrong-type", str(error), "")
            return text

    def _fault(self, name: Name, known: Mapping[str, frozenset[str] | None]) -> tuple[str, str] | None:
        if name.root in self.constants:
            there: frozenset[str] | None = frozenset(self.constants[name.root])
        elif name.root in known:
            there = known[name.root]
        else:
            return f"{name} isn't known here", _NOT_HERE[name.root]
        if name.name in there if there is not None else name.name != "":
            return None
        if name.root == "item" and (there or frozenset()) <= {"dir"}:
            return f"{name} doesn't exist: this recipe has no foreach", "add [foreach] with files, rows or matrix"
        names = sorted(there or ())
        near = did_you_mean(name.name, names)
        hint = "" if near else (f"there is {', '.join(names)}" if names else f"there are no {name.root}")
        return f"{name} doesn't exist{near}", hint

    def _add(self, path: Steps, code: str, message: str, hint: str) -> None:
        self.findings.append(Finding(path=path, code=code, message=message, hint=hint))


_NOT_HERE = {
    "item": "items come from foreach; only vars and recipe are known before",
    "run": "only vars and recipe are known before the items are",
    "output": "it names a result, so it can stand in save.path only",
}

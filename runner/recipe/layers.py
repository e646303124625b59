"""Several files become one document: includes below, the chosen profile on top.

Tables merge, arrays and values replace; a secret reference counts as a value. A name is not inherited: two
recipes may include the same file and are still two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from runner.recipe.finding import Finding
from runner.recipe.includes import include_target, refused
from runner.recipe.literals import literal_findings
from runner.recipe.normal import normal
from runner.recipe.place import Layer
from runner.recipe.read import Read, read_file
from runner.recipe.suggest import shown
from runner.wire.secrets import is_reference
from runner.wire.values import JsonObject


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """A recipe as merged, in normal form.

    document  with `profile` as far as it was not chosen, None where the recipe itself couldn't be read
    whole     whether everything that it includes was read, and is in the document
    layers    the topmost first, for places
    literals  secrets written out in any of the files, whether or not something lies above them
    profiles  the names there are
    """

    file: Path
    document: JsonObject | None
    layers: tuple[Layer, ...]
    findings: tuple[Finding, ...] = ()
    literals: tuple[Finding, ...] = ()
    profiles: frozenset[str] = frozenset()
    whole: bool = True

    @property
    def is_sound(self) -> bool:
        """Whether the document says all that the files do."""
        return not any(found.severity == "error" for found in self.findings)

    def variants(self) -> Iterator[tuple[str, Merged]]:
        """The same recipe under each of its profiles, with their names."""
        profiles = (self.document or {}).get("profile")
        for profile in profiles if isinstance(profiles, dict) else ():
            yield profile, _under(self, profile)


@dataclass(kw_only=True, slots=True, eq=False)
class Files:
    """Reads each included file once, however many recipes include it."""

    _read: dict[Path, Read] = field(default_factory=dict)

    def included(self, file: Path) -> Read:
        if file not in self._read:
            self._read[file] = read_file(file)
        return self._read[file]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Part:
    """What one of the files says, in normal form."""

    file: Path
    document: JsonObject


def merge_file(file: Path, files: Files, *, profile: str | None = None) -> Merged:
    """The document of `file`, with what it includes and the profile. Never raises."""
    gathering = _Gathering(files=files)
    parts = list(gathering.parts(file, read_file(file), (file,)))
    findings, literals = gathering.findings, tuple(gathering.literals)
    layers = tuple(Layer(file=part.file) for part in parts) or (Layer(file=file),)
    if not parts or parts[0].file != file:
        return Merged(file=file, document=None, layers=layers, findings=tuple(findings), literals=literals)
    document = parts[-1].document
    for part in parts[-2::-1]:
        document = merge(document, part.document)
    chosen = document.get("profile")
    profiles = frozenset(chosen) if isinstance(chosen, dict) else frozenset()
    made = Merged(
        file=file,
        document=document,
        layers=layers,
        findings=tuple(findings),
        literals=literals,
        profiles=profiles,
        whole=not gathering.missing,
    )
    return _under(made, profile) if profile is not None and profile in profiles else made


def _under(merged: Merged, profile: str) -> Merged:
    document = merged.document or {}
    overlay = document["profile"][profile]
    if not isinstance(overlay, dict):
        return merged
    overlaid = (Layer(file=layer.file, prefix=("profile", profile)) for layer in merged.layers if not layer.prefix)
    return replace(merged, document=merge(document, overlay), layers=(*overlaid, *merged.layers))


def merge(below: JsonObject, above: JsonObject) -> JsonObject:
    """`above` laid over `below`; neither is changed."""
    made = dict(below)
    for name, value in above.items():
        under = made.get(name)
        both = isinstance(value, dict) and isinstance(under, dict)
        if both and not is_reference(value) and not is_reference(under):
            made[name] = merge(made[name], value)
        else:
            made[name] = value
    return made


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Gathering:
    """One recipe's files on the way: what was found, which lie somewhere above already, which are `missing`."""

    files: Files
    findings: list[Finding] = field(default_factory=list)
    literals: list[Finding] = field(default_factory=list)
    seen: set[Path] = field(default_factory=set)
    missing: list[Path] = field(default_factory=list)

    def parts(self, file: Path, read: Read, chain: tuple[Path, ...]) -> Iterator[_Part]:
        """The file, then what it includes, the last one first since it lies above the others."""
        self.findings.extend(read.findings)
        if read.value is None:
            self.missing.append(file)
            return
        document, notes = normal(read.value)
        self.literals.extend(replace(one, file=file) for one in literal_findings(document))
        if len(chain) == 1:
            self.findings.extend(notes)
        else:
            document.pop("name", None)
        yield _Part(file=file, document=document)
        includes = document.get("include")
        for index, name in reversed([*enumerate(includes if isinstance(includes, list) else ())]):
            if isinstance(name, str) and name:
                yield from self._included(file, name, index, chain)

    def _included(self, file: Path, name: str, index: int, chain: tuple[Path, ...]) -> Iterator[_Part]:
        target = include_target(file, name)
        said, hint = refused(name, target, chain)
        if not said and target in self.seen:
            return  # what lies higher up already can add nothing further down
        self.seen.add(target)
        if not said:
            read = self.files.included(target)
            if not any(one.code in _NO_FILE for one in read.findings):
                yield from self.parts(target, read, (*chain, target))
                return
            said = f"the included file {shown(target.name)} {_said(read)}"
        self.missing.append(target)
        self.findings.append(Finding(path=("include", index), code="bad-include", message=said, hint=hint, file=file))


_NO_FILE = frozenset({"no-such-file", "not-a-file", "not-readable", "too-large"})


def _said(read: Read) -> str:
    said = read.findings[0].message
    return "does not exist" if read.findings[0].code == "no-such-file" else said

"""Names at providers that results go to. Targets refuse a name that is taken, so what wants one twice is found before.

How outputs share a `file` is the local server's rule (docs/output-targets.md): a folder keeps their names, a name is
for the first of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from runner.compile.naming import bought_stem
from runner.wire.accounts import account_of, reference_name
from runner.wire.formats import file_ending
from runner.wire.holders import holder_of, object_name
from runner.wire.names import plain_name
from runner.wire.providers import PROVIDERS
from runner.wire.values import Json, JsonObject, as_list, as_object, as_text


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetName:
    """An object that a result will become; equal ones are one. `holder` is where it lies, apart from its name."""

    provider: str
    holder: tuple[tuple[str, str], ...]
    file: str

    def __str__(self) -> str:
        title = PROVIDERS[self.provider].title if self.provider in PROVIDERS else self.provider
        known = dict(self.holder)
        name = next((name for name in ("bucket", "container", "host") if name in known), "")
        held = f", {name} {known[name]!r}" if name else ""
        return f"{title}{held}, file {self.file!r}"

    @property
    def anywhere(self) -> TargetName:
        """The same name in whatever account."""
        return replace(self, holder=tuple(member for member in self.holder if member[0] != "account"))

    def may_be(self, other: TargetName) -> bool:
        """Whether both can be one object: what an account's name is behind a reference, nobody knows."""
        accounts = {dict(one.holder).get("account", "") for one in (self, other)}
        is_known = not any(account.startswith("{") for account in accounts)
        return self.anywhere == other.anywhere and (len(accounts) == 1 or not is_known)


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Output target number `index` of conversion number `conversion`; `name` is None where only a run will know it."""

    conversion: int
    index: int
    name: TargetName | None


def targets_of(payload: JsonObject) -> Iterator[Target]:
    """The output targets of an expanded job document, as far as their providers have names."""
    stem = bought_stem(payload)
    for number, conversion in enumerate(map(as_object, as_list(payload.get("conversion")))):
        for index, target in enumerate(map(as_object, as_list(conversion.get("output_target")))):
            yield Target(conversion=number, index=index, name=_name(target, conversion, stem))


def _name(target: JsonObject, conversion: JsonObject, stem: str) -> TargetName | None:
    provider, parameters = as_text(target.get("type")), as_object(target.get("parameters"))
    file = as_text(parameters.get("file"))
    if file.endswith("/"):
        own = plain_name(as_text(as_object(conversion.get("options")).get("output_filename"))) or stem
        file = f"{file}{own}.{file_ending(as_text(conversion.get('target')))}" if own else ""
    holder = (*holder_of(provider, parameters), *_account(provider, target.get("credentials")))
    return TargetName(provider=provider, holder=holder, file=object_name(provider, file)) if file else None


def _account(provider: str, credentials: Json) -> tuple[tuple[str, str], ...]:
    given = account_of(provider, credentials)
    return (("account", given if isinstance(given, str) else reference_name(given)),) if given else ()


def wanted_twice(
    wanted: Sequence[tuple[str, str, Target]],
) -> Iterator[tuple[TargetName, Sequence[tuple[str, Target]]]]:
    """Names that different work wants, with the addresses and targets that do.

    wanted  address, key and target: equal keys are one purchase, which stores its results once
    """
    by_name: dict[TargetName, list[tuple[str, str, Target]]] = defaultdict(list)
    for address, key, target in wanted:
        if target.name is not None:
            by_name[target.name].append((address, key, target))
    for name, rows in by_name.items():
        if len({(key, target.conversion, target.index) for _, key, target in rows}) > 1:
            yield name, [(address, target) for address, _, target in rows]

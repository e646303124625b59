"""The least rights that recipes need at their providers, in each provider's own form.

S3 as an IAM policy, Azure and Google as roles on a container or bucket, FTP as what the user must be allowed.
Constants are put in; other templates in names become `*`, as wide as they can get and no wider.

Source: the API's pages on cloud inputs and output targets name the S3 actions; IAM, Azure RBAC and Google Cloud IAM
reference name the others.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from runner.recipe.model import Recipe
from runner.recipe.template import expand
from runner.wire.values import Json, JsonObject, as_list, as_object, as_text

_MOST_NAMED = 50  # items of a matrix; of more, a policy would have no room for the names
_TEMPLATE = re.compile(r"\{(item|vars|recipe|run|output)\.[^{}]*\}")
S3_ACTIONS = {
    "list": ["s3:ListBucket"],
    "read": ["s3:GetObject"],
    "write": ["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"],
}
AZURE_ROLES = {
    "list": "Storage Blob Data Reader",
    "read": "Storage Blob Data Reader",
    "write": "Storage Blob Data Contributor",
}
GOOGLE_ROLES = {
    "list": "roles/storage.objectViewer",
    "read": "roles/storage.objectViewer",
    "write": "roles/storage.objectCreator",
}
FTP_RIGHTS = {
    "list": "list the folder and those below it, with sizes and times",
    "read": "list and download",
    "write": "list, make folders, upload, rename and delete what was just uploaded as .part; never overwrite anything",
}
AZURE_NOTE = (
    "an account key, which is what the API takes, has every right in the whole storage account: the role restricts "
    "only those who sign in without the key, so keep results in an account of their own"
)
NOTES = {
    "amazons3": "to write needs s3:PutObject; s3:GetObject on the same names lets the writer know its own object again "
    "when an answer was lost, s3:AbortMultipartUpload lets it leave no parts behind, and s3:ListBucket shows that a "
    "name is free before anything is bought",
    "azure": AZURE_NOTE,
    "googlecloud": "needs roles/storage.objectCreator; roles/storage.objectViewer on the same names shows that "
    "a name is free before anything is bought, and lets the writer know its own object again when an answer was lost",
}
# Who may not list is told of a missing object what it is told of a secret one: 403.
SEEN_BY_LISTING = frozenset({"amazons3", "googlecloud"})


Access = Literal["list", "read", "write"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Right:
    """`place` is a bucket, container or host; `name` the object, with `*` where it isn't fixed."""

    provider: str
    access: Access
    place: str
    name: str


def rights_of(recipes: Iterable[Recipe]) -> tuple[Right, ...]:
    """What the recipes read and write in clouds, each once, in a stable order."""
    found = {right for recipe in recipes for right in _rights(recipe)}
    return tuple(sorted(found, key=lambda right: (right.provider, right.access, right.place, right.name)))


def policy_json(rights: Iterable[Right]) -> Mapping[str, Json]:
    """By provider: `amazons3` holds an IAM policy document, the others lists of grants."""
    by_provider: dict[str, list[Right]] = defaultdict(list)
    for right in rights:
        by_provider[right.provider].append(right)
    return {name: _WRITERS[name](found) for name, found in by_provider.items() if name in _WRITERS}


def notes_of(rights: Iterable[Right]) -> list[str]:
    """What the forms of the providers have no place for, a sentence each, for people."""
    providers = {right.provider for right in rights if right.provider == "azure" or right.access == "write"}
    return [f"{name}: {NOTES[name]}" for name in sorted(providers & NOTES.keys())]


def _rights(recipe: Recipe) -> Iterator[Right]:
    job = as_object(expand(recipe.job, {"vars": recipe.vars, "recipe": {"name": recipe.name}}))
    matrix = recipe.foreach.matrix if recipe.foreach else None
    if matrix and math.prod(map(len, matrix.values())) <= _MOST_NAMED:
        for values in itertools.product(*matrix.values()):
            item = dict(zip(matrix, values, strict=True))
            yield from _rights_of_job(as_object(expand(job, {"item": item})))
        return
    bucket = recipe.foreach.bucket if recipe.foreach else None
    if bucket is not None:
        listed = f"{as_text(bucket.parameters.get('prefix'))}*"
        yield from _right(bucket.source, "list", {**bucket.parameters, "file": listed})
        job = as_object(expand(job, {"item": _Listed(path=listed)}))
    yield from _rights_of_job(job)


def _rights_of_job(job: JsonObject) -> Iterator[Right]:
    for entry in map(as_object, as_list(job.get("input"))):
        if entry.get("type") == "cloud":
            yield from _right(as_text(entry.get("source")), "read", as_object(entry.get("parameters")))
    for conversion in map(as_object, as_list(job.get("conversion"))):
        for target in map(as_object, as_list(conversion.get("output_target"))):
            yield from _target_rights(as_text(target.get("type")), as_object(target.get("parameters")))


def _target_rights(provider: str, parameters: JsonObject) -> Iterator[Right]:
    for right in _right(provider, "write", parameters):
        yield right
        if provider in SEEN_BY_LISTING:
            yield replace(right, access="list")


class _Listed(dict[str, Json]):
    """What stands for the names of an item: of its whole name the beginning is known, of the others nothing."""

    def __missing__(self, name: str) -> str:
        return "*"

    def __contains__(self, name: object) -> bool:
        return True


def _right(provider: str, access: Access, parameters: Mapping[str, Json]) -> Iterator[Right]:
    place = next((parameters[name] for name in ("bucket", "container", "host") if name in parameters), "")
    name = _open(parameters.get("file", ""))
    name += "*" if access == "write" and name.endswith("/") else ""  # a folder that results keep their names in
    yield Right(provider=provider, access=access, place=_open(place), name=name)


def _open(value: Json) -> str:
    return _TEMPLATE.sub("*", as_text(value))


def _iam(rights: list[Right]) -> Json:
    return {
        "Version": "2012-10-17",
        "Statement": [_statement(right) for right in rights],
    }


def _statement(right: Right) -> Json:
    allowed = {"Effect": "Allow", "Action": S3_ACTIONS[right.access]}
    bucket = f"arn:aws:s3:::{right.place}"
    if right.access == "list":  # a right on the bucket; the prefix is a condition
        return {**allowed, "Resource": bucket, "Condition": {"StringLike": {"s3:prefix": right.name}}}
    return {**allowed, "Resource": f"{bucket}/{right.name.lstrip('/')}"}


def _azure(rights: list[Right]) -> Json:
    return [{"role": AZURE_ROLES[right.access], "container": right.place, "blob": right.name} for right in rights]


def _google(rights: list[Right]) -> Json:
    return [{"role": GOOGLE_ROLES[right.access], "bucket": right.place, "object": right.name} for right in rights]


def _ftp(rights: list[Right]) -> Json:
    return [{"allow": FTP_RIGHTS[right.access], "host": right.place, "file": right.name} for right in rights]


_WRITERS = {"amazons3": _iam, "azure": _azure, "googlecloud": _google, "ftp": _ftp}

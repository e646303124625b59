"""Addresses that hold secrets: signed links and the like. The database has them masked, the vault in full.

Host and path are names, by which a user knows his inputs again. A source that is no address at all has neither: most
likely it is another secret than was meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from runner.server.jobs.record import Job
from runner.server.jobs.vault import ADDRESS, Vault
from runner.wire.addresses import MASK, PARTS, masked

_CALLBACK = f"{ADDRESS}callback"
_URL = "url"


def is_masked(address: str) -> bool:
    """Whether something of it is missing: the vault lost what it had."""
    found = PARTS.fullmatch(address)
    assert found is not None
    return address == MASK or bool({f"{MASK}@", f"?{MASK}", f"#{MASK}"} & set(found.groups()))


def hide(job: Job, vault: Vault) -> Job:
    """`job` as it may be written down; what it lacks then is in the vault."""
    if not job.callback and not job.inputs:
        return job
    for part_id, address in _addresses(job):
        if not is_masked(address):
            vault.put(job.id, part_id, {_URL: address})
    return with_masks(job)


def shown_address(address: str) -> str:
    """`address` without its secrets; nothing of what has no host."""
    found = PARTS.fullmatch(address)
    assert found is not None
    scheme, _, place, _, _ = found.groups()
    return masked(address) if not address or (scheme and place.strip("/")) else MASK


def with_masks(job: Job) -> Job:
    """`job` without the secrets of its addresses; the same value where it has none."""
    if not any(True for _ in _addresses(job)):
        return job
    inputs = tuple(
        replace(one, source=shown_address(one.source)) if one.type == "remote" else one for one in job.inputs
    )
    return replace(job, inputs=inputs, callback=shown_address(job.callback))


def in_full(job: Job, vault: Vault) -> Job:
    """`job` with the addresses that the vault still has."""
    if not vault.hides_addresses(job.id):
        return job
    inputs = tuple(
        replace(one, source=_known(job.id, ADDRESS + one.id, vault, one.source)) if one.type == "remote" else one
        for one in job.inputs
    )
    return replace(job, inputs=inputs, callback=_known(job.id, _CALLBACK, vault, job.callback))


def _known(job_id: str, part_id: str, vault: Vault, address: str) -> str:
    known = vault.get(job_id, part_id) or {}
    full = str(known.get(_URL, address))
    return full if shown_address(full) == address else address


def _addresses(job: Job) -> Iterator[tuple[str, str]]:
    """Those with something to hide."""
    named = [(ADDRESS + one.id, one.source) for one in job.inputs if one.type == "remote"]
    for part_id, address in (*named, (_CALLBACK, job.callback)):
        if address and (address != shown_address(address) or is_masked(address)):
            yield part_id, address

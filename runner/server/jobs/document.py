"""The job document that clients read, from the record.

Every field is always there. Credentials come back as `{}`, passwords as null or not at all. What depends on
where the server listens is written with BASE in its place, so that a stored document outlives a new port.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import quote

import orjson

from runner.server.jobs.lifecycle import STATUS
from runner.server.jobs.notes import warnings_of
from runner.server.jobs.record import Conversion, Input, Job, Output
from runner.wire.status import INFO, StatusCode
from runner.wire.values import JsonObject

# Two private-use characters: nobody's URL contains them, and if somebody's text does it is only shown wrong.
BASE = "\ue0f2base\ue0f2"
_BASE_BYTES = BASE.encode()
SERVER_PATH = "/dl/local"
_SERVER = BASE + SERVER_PATH


def render(job: Job, shown: Mapping[StatusCode, StatusCode] = MappingProxyType({})) -> bytes:
    """
    shown  statuses that are shown as another
    """
    code = STATUS[job.phase]
    return orjson.dumps(job_document(job, shown.get(code, code)))


def with_base(document: bytes, base_url: str) -> bytes:
    return document.replace(_BASE_BYTES, base_url.encode())


def job_document(job: Job, code: StatusCode) -> JsonObject:
    limits = job.limits
    return {
        "id": job.id,
        "token": job.token,
        "type": "job",
        "status": {"code": code, "info": INFO[code]},
        "errors": job.errors,
        "warnings": warnings_of(job),
        "process": job.process,
        "fail_on_input_error": job.fail_on_input_error,
        "fail_on_conversion_error": job.fail_on_conversion_error,
        "conversion": [conversion_document(one) for one in job.conversions],
        "limits": {"job": limits.get("job", {}), "input": limits.get("input", {}), "output": limits.get("output", {})},
        "input": [input_document(one) for one in job.inputs],
        "output": [output_document(one) for one in job.outputs],
        "callback": job.callback,
        "notify_status": job.notify_status,
        "server": _SERVER,
        "spent": job.spent,
        "created_at": job.created_at,
        "modified_at": job.modified_at,
    }


def conversion_document(conversion: Conversion) -> JsonObject:
    return {
        "id": conversion.id,
        "target": conversion.target,
        "category": conversion.category,
        "options": conversion.options,
        "metadata": conversion.metadata,
        "output_target": conversion.output_target,
    }


def input_document(entry: Input) -> JsonObject:
    return {
        "id": entry.id,
        "type": entry.type,
        "status": entry.status,
        "source": entry.source,
        "engine": entry.engine,
        "options": entry.options,
        "filename": entry.filename,
        "size": entry.size,
        "hash": entry.checksum,
        "checksum": entry.checksum,
        "content_type": entry.content_type,
        "created_at": entry.created_at,
        "modified_at": entry.modified_at,
        "credentials": {},
        "parameters": entry.parameters,
        "metadata": entry.metadata,
    }


def output_document(output: Output) -> JsonObject:
    return {
        "id": output.id,
        "source": {"conversion": output.conversion, "input": output.inputs},
        "filename": output.filename,
        "uri": f"{BASE}{SERVER_PATH}/download-file/{output.id}/{quote(output.filename, safe='')}",
        "size": output.size,
        "status": output.status,
        "content_type": output.content_type,
        "downloads_counter": output.downloads,
        "checksum": output.checksum,
        "created_at": output.created_at,
        "metadata": output.metadata,
    }

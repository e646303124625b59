"""What the API shows of inputs and outputs, held against what was sent and put into the log's own form."""

from __future__ import annotations

from collections.abc import Mapping

from runner.client.digest import Digests
from runner.client.errors import ApiError
from runner.errors import counted
from runner.plan import Upload
from runner.state import KeyState, OutputRecord
from runner.wire import job as wire
from runner.wire.addresses import masked
from runner.wire.status import StatusCode
from runner.wire.values import Json, JsonObject, as_id, as_int, as_list, as_object


def compare(upload: Upload, digests: Digests, shown: wire.JobInput | None) -> None:
    """What the API shows of an input must be what we sent, as far as it shows it: MD5 by all that was seen."""
    if shown is None:
        return
    if shown.size_bytes and shown.size_bytes != digests.size_bytes:
        raise ApiError(f"{upload.filename!r}: the API has {shown.size_bytes} bytes of {digests.size_bytes} sent")
    if len(shown.checksum) == len(digests.md5) and shown.checksum.lower() != digests.md5:
        raise ApiError(f"{upload.filename!r}: the API shows another checksum than what was sent has")


def output_records(job: wire.Job) -> list[OutputRecord]:
    """Their addresses are kept masked, for they may be signed; whoever delivers again asks the server for them."""
    ids = [as_id(as_object(row).get("id")) for row in as_list(job.document.get("conversion"))]
    return [
        OutputRecord(
            id=output.id,
            filename=output.filename,
            uri=masked(output.uri),
            size_bytes=output.size_bytes,
            checksum=output.checksum,
            conversion_index=ids.index(output.conversion) if output.conversion in ids else 0,
        )
        for output in job.outputs
    ]


def shows_all(job: wire.Job, payload: JsonObject) -> bool:
    """Whether a completed job has the outputs that it must have: one of every conversion at least.

    Results that go elsewhere needn't be shown, and where conversions may fail one output is enough: without any the
    whole job would have failed.
    """
    rows = map(as_object, as_list(payload.get("conversion")))
    here = sum(not as_list(row.get("output_target")) for row in rows)
    may_fail = payload.get("fail_on_conversion_error") is False
    return len(job.outputs) >= (min(here, 1) if may_fail else here)


def may_show_more(payload: JsonObject) -> bool:
    """Whether a conversion may have several outputs, how many only the server knows."""
    rows = map(as_object, as_list(payload.get("conversion")))
    return any(
        as_object(row.get("options")).get("allow_multiple_outputs") is True and not row.get("output_target")
        for row in rows
    )


def cap_of(payload: Mapping[str, Json]) -> int | None:
    """`limits.job.max_credit` of what was bought, None where there is none."""
    limits = as_object(as_object(payload.get("limits")).get("job"))
    return as_int(limits["max_credit"]) if "max_credit" in limits else None


def cost_of(job: wire.Job, payload: Mapping[str, Json]) -> int:
    """What an ended job is booked with: where the API doesn't say, all that it may have cost."""
    return (cap_of(payload) or 0) if job.spent is None else job.spent


def unknown_cost(job: wire.Job, payload: Mapping[str, Json]) -> str:
    """What to tell of a job whose cost had to be guessed, "" where the API says it."""
    if job.spent is not None:
        return ""
    cap = cap_of(payload)
    if cap is None:
        return "the API doesn't say what it cost, so nothing is booked for it"
    return f"the API doesn't say what it cost; its cap is booked, {counted(cap, 'credit')}"


def reasons(job: wire.Job) -> list[tuple[int, str]]:
    """Code and words of what the API says against a job that ended without success, and says nothing of some."""
    return [(error.code, error.message or _no_reason(job)) for error in job.errors]


def _no_reason(job: wire.Job) -> str:
    return f"the API gives no reason, and calls the job '{job.status}'" + (f" ({job.info})" if job.info else "")


def tells_its_end(job: wire.Job) -> bool:
    """Whether this is all that there is to know of a job that completed: what it cost, where each output lies and what
    its bytes must be, and which conversion it is of."""
    rows = [as_object(row) for row in as_list(job.document.get("output"))]
    whole = all(
        row.get("uri") and row.get("size") is not None and output.checksum
        for row, output in zip(rows, job.outputs, strict=True)
    )
    listed = all(name in job.document for name in ("conversion", "warnings"))
    return job.status == StatusCode.COMPLETED and bool(rows) and whole and listed and bool(job.spent)


def job_of(state: KeyState) -> wire.Job:
    """The job as it was seen to end, as far as the log remembers."""
    return wire.Job(
        id=state.job_id,
        token="",
        status="completed",
        info="",
        server="",
        spent=0,
        errors=(),
        warnings=(),
        outputs=tuple(
            wire.JobOutput(
                id=output.id,
                filename=output.filename,
                uri=output.uri,
                size_bytes=output.size_bytes,
                checksum=output.checksum,
                status="",
                conversion="",
                inputs=(),
            )
            for output in state.outputs
        ),
        document={},
    )

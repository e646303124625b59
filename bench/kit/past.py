"""A past without the work: files, and a run log that says of each of them that it was converted and delivered.

    python -m bench.kit.past FOLDER COUNT

For counts that would take hours to convert. What is written is what a run writes, by the same run log.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bench.kit.recipes import convert_files
from runner.cli.planning import Planning, open_planning
from runner.compile import LOCAL, Job
from runner.plan import Policy
from runner.runlog import (
    Created,
    Delivered,
    Event,
    Finished,
    Intent,
    Owner,
    Staged,
    StagedUpload,
    Started,
    Starting,
    new_run_id,
)
from runner.state import DeliveredFile, OutputRecord

_LONG_AGO_NS = 1_700_000_000 * 10**9  # files that were written just now are read again
_AT_ONCE = 500
_PER_FOLDER = 1000


def files(folder: Path, count: int) -> None:
    for number in range(count):
        path = folder / "pictures" / f"{number // _PER_FOLDER:04}" / f"tiny-{number:07}.png"
        if number % _PER_FOLDER == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
        _put(path, f"picture {number}")


def _put(path: Path, text: str) -> None:
    path.write_text(text)
    os.utime(path, ns=(_LONG_AGO_NS, _LONG_AGO_NS))


async def remember(planning: Planning) -> None:
    """Every job of the plan finished and delivered, each with all its lines."""
    planned = await planning.plan(Policy())
    jobs = [step.job for step in planned.plan.steps if step.job is not None]
    run_id, owner = new_run_id(datetime.now(UTC)), Owner.this_process()
    await planning.log.append(planning.run_started(run_id), run_id=run_id)
    for first in range(0, len(jobs), _AT_ONCE):
        some = jobs[first : first + _AT_ONCE]
        fences = await planning.log.claim([job.key for job in some], owner)
        await asyncio.gather(
            *(planning.log.append(*_lines(job, planned.run_date), run_id=run_id, fence=fences[job.key]) for job in some)
        )
        await planning.log.release(fences)


def _lines(job: Job, day: str) -> Iterator[Event]:
    job_id = str(uuid.uuid4())
    sent = tuple(
        StagedUpload(path=one.filename, size=one.content.size_bytes, sha256=one.content.sha256, md5=one.content.md5)
        for one in job.uploads
    )
    results = [_result(job_id, path) for path in job.expected_paths(run_date=day)]
    yield Intent(
        key=job.key,
        attempt=1,
        addresses=(job.address,),
        payload=job.payload_for(run_date=day),
        cap=job.cap,
        recipe=job.recipe,
        account=LOCAL,
        run_date=day,
    )
    yield Created(key=job.key, attempt=1, job_id=job_id)
    yield Staged(key=job.key, attempt=1, uploads=sent)
    yield Starting(key=job.key, attempt=1, job_id=job_id)
    yield Started(key=job.key, attempt=1, job_id=job_id)
    yield Finished(key=job.key, attempt=1, spent=1, outputs=tuple(output for output, _ in results))
    files = tuple(file for _, file in results)
    yield Delivered(key=job.key, attempt=1, address=job.address, save=job.save.path, files=files)


def _result(job_id: str, place: str) -> tuple[OutputRecord, DeliveredFile]:
    path = Path(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    _put(path, f"result {path.name}")
    data, there = path.read_bytes(), path.stat()
    output = OutputRecord(
        id=str(uuid.uuid4()),
        filename=path.name,
        uri=f"http://localhost/dl/{job_id}/{path.name}",
        size_bytes=len(data),
        checksum=hashlib.md5(data, usedforsecurity=False).hexdigest(),
        conversion_index=0,
    )
    digest = hashlib.sha256(data).hexdigest()
    return output, DeliveredFile(
        path=place, size_bytes=len(data), sha256=digest, mtime_ns=there.st_mtime_ns, inode=there.st_ino
    )


def main(folder: Path, count: int) -> None:
    files(folder, count)
    recipe = convert_files(folder, name="idle", pattern="pictures/*/*.png", target="webp")
    with open_planning([recipe], profile=None, overrides={}, endpoint=LOCAL, state=None) as planning:
        asyncio.run(remember(planning))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

"""One step: a conversion in a process of its own, within what the job may still spend."""

from __future__ import annotations

import asyncio
import math
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from runner.server.config import Contract
from runner.server.converters.protocol import Product, Request, Source
from runner.server.engine.allowance import Allowance, allowance, needed
from runner.server.engine.purse import Purse
from runner.server.engine.steps import StepPlan, named
from runner.server.engine.threads import in_a_thread
from runner.server.jobs.credits import charged, credits_of
from runner.server.jobs.ids import new_id
from runner.server.jobs.record import Job, Step, StepFile, timestamp
from runner.server.store.blobs import Blobs
from runner.server.workers.outcome import Code, Converted, Outcome
from runner.wire.names import clean_name
from runner.wire.values import JsonObject

STORAGE_CODE = 507


class Convert(Protocol):
    """What runs a conversion; cancelling it stops the conversion."""

    async def __call__(self, request: Request, *, on_start: Callable[[int], None] | None = None) -> Outcome: ...


class Stepper:
    def __init__(self, contract: Contract, *, blobs: Blobs, purse: Purse, convert: Convert, workdir: Path) -> None:
        self._contract = contract
        self._blobs = blobs
        self._purse = purse
        self._convert = convert
        self._workdir = workdir

    async def run(self, job: Job, plan: StepPlan, done: Sequence[Step], *, left: int) -> Step:
        """The step as it ended; `done` are the steps before it, `left` counts it and those after it."""
        credits_left = self._purse.left(job.account, but_for=job.id)
        allowed = allowance(job, done, left=left, contract=self._contract, credits_left=credits_left)
        if not isinstance(allowed, Allowance):
            return _failed(plan, allowed, skipped=True)
        self._purse.hold(job, charged(done) + needed(job, left))
        workdir = self._workdir / new_id()
        try:
            workdir.mkdir()
            return await self._within(allowed, job, plan, workdir)
        except OSError as error:
            return _failed(plan, _storage_error(error))
        finally:
            _remove(workdir)

    async def _within(self, allowed: Allowance, job: Job, plan: StepPlan, workdir: Path) -> Step:
        request = self._request(plan, workdir)
        began = time.monotonic()
        try:
            outcome = await self._converted(request, allowed.seconds)
        except TimeoutError:
            return _failed(plan, allowed.error, wall_s=time.monotonic() - began)
        if not isinstance(outcome, Converted):
            error = {"code": outcome.code, "message": outcome.message}
            details = {"details": dict(outcome.details)} if outcome.details else {}
            return _failed(plan, {**error, **details}, wall_s=time.monotonic() - began)
        files = await in_a_thread(partial(self._keep, job.id, plan, outcome.products))
        return Step(
            conversion=plan.conversion.id,
            inputs=plan.name[1],
            credits=credits_of(outcome.wall_s, self._contract.credit_minute_s),
            wall_s=outcome.wall_s,
            files=files,
            facts=tuple(dict(one) for one in outcome.facts),
            warnings=_warnings(outcome.products),
            ended_at=timestamp(time.time()),
        )

    async def _converted(self, request: Request, seconds: float) -> Outcome:
        """The clock starts when the conversion does: waiting for a worker costs nothing."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as clock:

            def started(_: int) -> None:
                if math.isfinite(seconds):
                    clock.reschedule(loop.time() + seconds)

            outcome = await self._convert(request, on_start=started)
            clock.reschedule(None)
            return outcome

    def _request(self, plan: StepPlan, workdir: Path) -> Request:
        conversion = plan.conversion
        sources = tuple(
            Source(
                path=self._blobs.path(one.blob),
                filename=one.filename,
                content_type=one.content_type,
                kind=one.kind,
            )
            for one in plan.inputs
        )
        return Request(
            category=conversion.category,
            target=conversion.target,
            options=conversion.options,
            metadata=conversion.metadata,
            sources=sources,
            workdir=workdir,
        )

    def _keep(self, job_id: str, plan: StepPlan, products: Sequence[Product]) -> tuple[StepFile, ...]:
        """In a thread: take the files out of the work folder, under names of our own."""
        owner = plan.inputs[0].id if len(plan.inputs) == 1 else "all"
        blobs = [f"{job_id}/out-{plan.conversion.id}-{owner}-{index}" for index in range(len(products))]
        return tuple(self._keep_one(plan, product, blob) for product, blob in zip(products, blobs, strict=True))

    def _keep_one(self, plan: StepPlan, product: Product, blob: str) -> StepFile:
        checksum, size = self._blobs.checksum(product.path), product.path.stat().st_size
        self._blobs.keep(product.path, blob)
        return StepFile(
            blob=blob,
            filename=named(plan.conversion, clean_name(product.filename) or product.path.name),
            size=size,
            checksum=checksum,
            content_type=product.content_type,
            metadata=dict(product.metadata),
        )


def _warnings(products: Sequence[Product]) -> tuple[JsonObject, ...]:
    """Each once, however many files it is said of."""
    texts = dict.fromkeys(text for product in products for text in product.warnings)
    return tuple({"code": int(Code.BLEMISH), "message": text} for text in texts)


def _remove(workdir: Path) -> None:
    try:
        workdir.rmdir()  # the usual case: its files were kept under other names
    except OSError:
        shutil.rmtree(workdir, ignore_errors=True)


def _storage_error(error: OSError) -> JsonObject:
    reason = error.strerror or str(error)
    return {"code": STORAGE_CODE, "message": f"The server could not store the result: {reason}"}


def _failed(plan: StepPlan, error: JsonObject, *, wall_s: float = 0.0, skipped: bool = False) -> Step:
    return Step(
        conversion=plan.conversion.id,
        inputs=plan.name[1],
        credits=0,
        wall_s=wall_s,
        error=error,
        skipped=skipped,
        ended_at=timestamp(time.time()),
    )

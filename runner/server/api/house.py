"""What every handler needs, in one value."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial

from starlette.requests import Request

from runner.server.api.access import Caller, Door
from runner.server.api.bodies import parse, read_body
from runner.server.api.hashing import Hashing
from runner.server.api.heads import header
from runner.server.api.incoming import Incoming
from runner.server.api.streams import Streams
from runner.server.api.turns import Turns
from runner.server.config import ServerConfig
from runner.server.engine.admission import Desk
from runner.server.engine.purse import Purse
from runner.server.jobs.lifecycle import STAGED
from runner.server.jobs.limits import check_growth
from runner.server.jobs.record import Job
from runner.server.jobs.targets import FindPreset
from runner.server.jobs.vault import Vault
from runner.server.store.blobs import Blobs
from runner.server.store.database import Database
from runner.server.store.jobs import Edit, JobStore
from runner.server.store.presets import PresetStore
from runner.wire.values import Json

# A name or an address, and perhaps a port: what may stand in the links that are handed out.
_HOST = re.compile(r"([A-Za-z0-9._\-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?\Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class House:
    """`base_url` is how clients reach this server, where their request doesn't say it better: see `base_of`."""

    config: ServerConfig
    base_url: str
    door: Door
    database: Database
    jobs: JobStore
    blobs: Blobs
    vault: Vault
    purse: Purse
    presets: PresetStore
    hashing: Hashing
    uploads: Turns = field(default_factory=Turns)
    incoming: Incoming = field(default_factory=Incoming)
    streams: Streams = field(default_factory=Streams)

    def base_of(self, request: Request) -> str:
        """How the sender of `request` reaches this server, with "/v2".

        One that listens on every address has no address of its own: then it is what the client has called it by.
        """
        if self.config.base_url or not self.config.is_everywhere:
            return self.base_url
        host = header(request, b"host")
        return f"http://{host}/v2" if _HOST.match(host) else self.base_url

    @property
    def desk(self) -> Desk:
        return Desk(jobs=self.jobs, blobs=self.blobs, contract=self.config.contract)

    def presets_of(self, caller: Caller) -> FindPreset:
        """Finds a preset by its id among those that `caller` may use."""
        return partial(self.presets.find, account=caller.account)

    def starting(self, job: Job) -> AbstractContextManager[None]:
        """Around a change that may start `job`; raises 402 and 429 where the contract doesn't allow that."""
        if not job.process or job.phase not in STAGED:
            return nullcontext()
        self.purse.require_credit(job.account)
        return self.purse.place(job.account)

    async def extend(self, job_id: str, edit: Edit) -> Job:
        """`jobs.change` for what clients add: a job grows no larger than one request may make it; raises 413."""

        def within(job: Job) -> Job:
            edited = edit(job)
            check_growth(job, edited, self.config.max_json_bytes)
            return edited

        return await self.jobs.change(job_id, within)

    async def body(self, request: Request) -> Json:
        return parse(await read_body(request, self.config.max_json_bytes))

    def entered(self, request: Request) -> tuple[Caller, str]:
        """Who asks and the id of the job in the path; raises 401 and 404."""
        job_id: str = request.path_params["job_id"]
        caller, _ = self.door.held(request, job_id)
        return caller, job_id

    def job(self, request: Request) -> Job:
        """The job in the path, for reading."""
        _, job_id = self.entered(request)
        job = self.jobs.load(job_id)
        assert job is not None  # jobs are never removed
        return job

"""What every handler needs, in one value."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from runner.server.api.access import Caller, Door
from runner.server.api.bodies import parse, read_body
from runner.server.config import ServerConfig
from runner.server.engine.admission import Desk
from runner.server.jobs.record import Job
from runner.server.jobs.vault import Vault
from runner.server.store.blobs import Blobs
from runner.server.store.database import Database
from runner.server.store.jobs import JobStore
from runner.wire.values import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class House:
    config: ServerConfig
    base_url: str
    door: Door
    database: Database
    jobs: JobStore
    blobs: Blobs
    vault: Vault

    @property
    def desk(self) -> Desk:
        return Desk(jobs=self.jobs, blobs=self.blobs, contract=self.config.contract)

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

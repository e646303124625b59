"""Adding to an unstarted job what its creation couldn't hold, and holding what the API shows of it against ours."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from runner.client.digest import Digests
from runner.client.errors import ApiError, ApiUnreachableError, ChangedFileError, RefusedError
from runner.errors import AuthenticationError
from runner.execute.faults import UploadServerError
from runner.execute.shown import compare
from runner.execute.staging import late_upload_options, later_inputs
from runner.execute.work import Work
from runner.plan import Upload
from runner.runlog import Staged
from runner.state import StagedUpload
from runner.wire import job as wire
from runner.wire.values import JsonObject, as_object, as_text


@dataclass(frozen=True, kw_only=True, slots=True)
class Loading:
    work: Work

    async def load(self, created: wire.Job, body: JsonObject, attempt: int) -> Staged:
        """Add what the creation could not hold, in the recipe's order: inputs are numbered as they arrive."""
        uploads = {upload.input_index: upload for upload in self.work.job.uploads}
        sent: list[StagedUpload] = []
        for index, entry in later_inputs(body):
            upload = uploads.get(index)
            if upload is None:
                await self.work.site.api.add_input(created.id, entry)
            else:
                sent.append(await self._upload(created, upload, entry))
        return Staged(key=self.work.job.key, attempt=attempt, uploads=tuple(sent))

    async def _upload(self, created: wire.Job, upload: Upload, entry: JsonObject) -> StagedUpload:
        self.work.say("uploading")
        digests, shown = await self._sent_as_planned(created, upload, entry)
        shown = shown or await self._shown_input(created.id)
        compare(upload, digests, shown)
        options = late_upload_options(entry)
        if options and shown is not None:
            await self.work.site.api.set_input_options(created.id, shown.id, options)
        return StagedUpload(
            path=as_text(entry.get("source")), size=digests.size_bytes, sha256=digests.sha256, md5=digests.md5
        )

    async def _sent_as_planned(
        self, created: wire.Job, upload: Upload, entry: JsonObject
    ) -> tuple[Digests, wire.JobInput | None]:
        """What is remembered of a file that is another one than was planned with is wrong, unchanged as it may look."""
        try:
            digests, shown = await self._send(created, upload, entry)
            if digests.sha256 != upload.content.sha256:
                raise ChangedFileError(f"{upload.content.path} changed while the run went on; run again")
        except ChangedFileError:
            await self.work.site.log.forget([str(upload.content.path)])
            raise
        return digests, shown

    async def _send(self, created: wire.Job, upload: Upload, entry: JsonObject) -> tuple[Digests, wire.JobInput | None]:
        """The upload; only what was turned away at the door (429) is sent again."""
        api = self.work.site.api
        patience = api.backoff.patience(api.rng)
        while True:
            try:
                return await self.work.site.transfer.upload(
                    created,
                    upload.content.path,
                    filename=upload.filename,
                    size_bytes=upload.content.size_bytes,
                    decrypt_password=as_text(as_object(entry.get("credentials")).get("decrypt_password")),
                    progress=self.work.moved,
                )
            except ApiUnreachableError as error:
                hint = "nothing was bought; the next run makes the job anew, perhaps with another server"
                raise UploadServerError(f"{error} (the job named this server)", hint=hint) from error
            except AuthenticationError as error:
                if not created.token:
                    raise
                # The job's own token was refused; the account's key, which all other jobs are made with, wasn't sent.
                raise ApiError(str(error), hint="the next run makes the job anew, with another token") from error
            except RefusedError as error:
                wait_s = patience.next_s(error.retry_after_s) if error.status == HTTPStatus.TOO_MANY_REQUESTS else None
                if wait_s is None:
                    raise
                await self.work.site.sleep(wait_s)

    async def _shown_input(self, job_id: str) -> wire.JobInput | None:
        inputs = (await self.work.site.api.job(job_id)).inputs
        return inputs[-1] if inputs else None

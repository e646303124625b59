"""Adding to an unstarted job what its creation couldn't hold, and holding what the API shows of it against ours."""

from __future__ import annotations

from collections.abc import Sequence
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
from runner.wire.values import JsonObject, as_object, as_text, folded_id


@dataclass(frozen=True, kw_only=True, slots=True)
class Loading:
    work: Work

    async def load(self, created: wire.Job, body: JsonObject, attempt: int) -> Staged:
        """Add what the creation could not hold, in the recipe's order: inputs are numbered as they arrive."""
        uploads = {upload.input_index: upload for upload in self.work.job.uploads}
        sent: list[StagedUpload] = []
        known = {folded_id(one.id) for one in created.inputs}
        for index, entry in later_inputs(body):
            upload = uploads.get(index)
            if upload is None:
                await self.work.site.api.add_input(created.id, entry)
            else:
                sent.append(await self._upload(created, upload, entry, known))
        return Staged(key=self.work.job.key, attempt=attempt, uploads=tuple(sent))

    async def _upload(self, created: wire.Job, upload: Upload, entry: JsonObject, known: set[str]) -> StagedUpload:
        """`known` are ids of inputs that were there before; grows by this one's."""
        self.work.say("uploading")
        digests, shown = await self._sent_as_planned(created, upload, entry)
        options = late_upload_options(entry)
        if shown is None or not shown.checksum or (options and not shown.id):
            shown = await self._looked_up(created.id, shown, digests, known)
        compare(upload, digests, shown)
        if shown is not None:
            known.add(folded_id(shown.id))
        if options:
            await self._set_options(created.id, upload, shown, options)
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

    async def _looked_up(
        self, job_id: str, answered: wire.JobInput | None, digests: Digests, known: set[str]
    ) -> wire.JobInput | None:
        """The input as the job shows it: the one that the upload's answer named, else the one that is new."""
        inputs = (await self.work.site.api.job(job_id)).inputs
        if answered is not None and answered.id:
            named = (one for one in inputs if folded_id(one.id) == folded_id(answered.id))
            return next(named, answered)
        return _new_one([one for one in inputs if folded_id(one.id) not in known], digests) or answered

    async def _set_options(self, job_id: str, upload: Upload, shown: wire.JobInput | None, options: JsonObject) -> None:
        if shown is None or not shown.id:
            raise ApiError(
                f"{upload.filename!r}: the API doesn't show which input it became, so its options can't be set; "
                "nothing was bought"
            )
        await self.work.site.api.set_input_options(job_id, shown.id, options)


def _new_one(inputs: Sequence[wire.JobInput], digests: Digests) -> wire.JobInput | None:
    """The upload among inputs that may have come with it, as far as it can be told from them."""
    same = [one for one in inputs if one.checksum.lower() == digests.md5]
    found = same or inputs
    return found[0] if len(found) == 1 else None

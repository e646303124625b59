"""What is measured when somebody looks: jobs, queues, callbacks, the disk, this process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from runner.server.callbacks.sender import Callbacks
from runner.server.engine.engine import Engine
from runner.server.operating.metrics import Sample
from runner.server.standing import Standing
from runner.server.store.blobs import Blobs
from runner.server.store.callbacks import CallbackQueue
from runner.server.store.jobs import JobStore

_LEAST_FREE_BYTES = 64 * 1024 * 1024
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Gauges:
    def __init__(
        self,
        *,
        jobs: JobStore,
        engine: Engine,
        queue: CallbackQueue,
        callbacks: Callbacks,
        blobs: Blobs,
        state: Path,
        standing: Standing,
    ) -> None:
        self._jobs = jobs
        self._engine = engine
        self._queue = queue
        self._callbacks = callbacks
        self._blobs = blobs
        self._state = state
        self._standing = standing

    def samples(self) -> Iterator[Sample]:
        for status, count in sorted(self._jobs.counts().items()):
            yield Sample("runner_jobs", "gauge", "Jobs by status.", count, {"status": status})
        waiting, running = self._engine.load()
        yield Sample("runner_queue_length", "gauge", "Started jobs that wait for a worker.", waiting)
        yield Sample("runner_jobs_running", "gauge", "Jobs that are being converted.", running)
        gone = len(self._standing.gone())
        yield Sample("runner_tasks_gone", "gauge", "Tasks of the server that ended and should not have.", gone)
        yield Sample("runner_callbacks_waiting", "gauge", "Callbacks that nobody accepted yet.", self._queue.waiting())
        for result, count in sorted(self._callbacks.counts.items()):
            yield Sample("runner_callbacks_total", "counter", "Callbacks by result.", count, {"result": result})
        if self._blobs.most_bytes:
            yield Sample("runner_files_bytes", "gauge", "What files of jobs take.", self._blobs.used_bytes)
            yield Sample("runner_files_limit_bytes", "gauge", "What they may take.", self._blobs.most_bytes)
        yield Sample("runner_disk_free_bytes", "gauge", "Free on the disk of the state folder.", self._free())
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        yield Sample("process_resident_memory_bytes", "gauge", "Memory of the server process.", pages * _PAGE_BYTES)

    def trouble(self) -> str:
        """Why no work can be accepted; empty while it can."""
        if gone := self._standing.gone():
            return f"tasks of the server have ended ({', '.join(sorted(set(gone)))}): restart it, and send us its log"
        self._queue.waiting()  # raises where the state can't be read
        if self._free() < _LEAST_FREE_BYTES:
            return "the disk is full"
        if self._blobs.most_bytes and self._blobs.used_bytes >= self._blobs.most_bytes:
            return "the files of jobs take all they may (--max-disk)"
        return ""

    def _free(self) -> int:
        return shutil.disk_usage(self._state).free

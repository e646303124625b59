"""Uploads under way: a job isn't started without the file that is just coming."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from runner.server.jobs.record import Job


class Incoming:
    def __init__(self) -> None:
        self._of: dict[str, Counter[str]] = {}

    @contextmanager
    def upload(self, job_id: str, input_id: str) -> Iterator[None]:
        """Around one request that brings a file, or a chunk of it."""
        under_way = self._of.setdefault(job_id, Counter())
        under_way[input_id] += 1
        try:
            yield
        finally:
            under_way[input_id] -= 1
            if not under_way.total():
                self._of.pop(job_id, None)

    def are_known(self, job: Job) -> bool:
        """Whether `job` has an input of every upload to it: a repetition of one that is there brings nothing new."""
        return all(job.input(input_id) or not count for input_id, count in self._of.get(job.id, Counter()).items())

"""The server's log: one JSON object a line on stderr. What may be a secret is never given to it.

A request's line has the route and not the path, so neither file names nor ids of outputs (which are keys to them)
are in it; headers, bodies, queries and callbacks' URLs are never logged.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal

import orjson

from runner.server.jobs.lifecycle import STATUS
from runner.server.jobs.record import Job

Level = Literal["error", "warning", "info"]
ROOTS = ("runner.server", "uvicorn")

# uvicorn says at `info` what the line on stdout says already.
_log = logging.getLogger(__name__)


@contextmanager
def logging_json(level: Level) -> Iterator[None]:
    """While it lasts, the server's log lines of `level` and above go to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    loggers = [logging.getLogger(name) for name in ROOTS]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(level.upper())
        logger.propagate = False
    try:
        yield
    finally:
        for logger, (old_level, propagated) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(old_level)
            logger.propagate = propagated


def log_event(logger: logging.Logger, event: str, **fields: object) -> None:
    """An `info` line with fields of its own."""
    logger.info(event, extra={"fields": fields})


def log_failure(logger: logging.Logger, event: str, **fields: object) -> None:
    """An `error` line with fields of its own and the traceback of what is being handled."""
    logger.error(event, exc_info=sys.exc_info(), extra={"fields": fields})


def log_job(old: Job | None, new: Job) -> None:
    """A listener: a line for every new status."""
    if (old is None or STATUS[old.phase] is not STATUS[new.phase]) and _log.isEnabledFor(logging.INFO):
        log_event(_log, "job", job=new.id, account=new.account, status=STATUS[new.phase], spent=new.spent)


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {"time": at, "level": record.levelname.lower(), "event": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()

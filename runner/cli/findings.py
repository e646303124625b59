"""Findings for scripts: what is wrong with recipes, as JSON on stdout."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from runner.errors import InvalidInput, Problem


def print_findings(problems: Sequence[Problem], checked: int) -> None:
    from runner.report.findings import findings_json

    click.echo(json.dumps(findings_json(problems, checked), ensure_ascii=False, indent=2))


@contextmanager
def findings_for_scripts(style: str) -> Iterator[None]:
    """Around what stops at wrong recipes before it has printed anything: who asked for JSON gets that, too."""
    try:
        yield
    except InvalidInput as error:
        if style == "json":
            print_findings(error.problems, len({problem.place.file for problem in error.problems}))
        raise

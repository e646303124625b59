"""What a job's conversions come down to, and what becomes of their files. Pure, but for packing."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from runner.server.jobs.ids import new_id
from runner.server.jobs.record import Conversion, Input, Job, Output, Step, StepFile, timestamp
from runner.wire.names import clean_name, unique_names
from runner.wire.values import JsonObject


@dataclass(frozen=True, kw_only=True, slots=True)
class StepPlan:
    """One conversion of `inputs`: of one, or of all where they become one file."""

    conversion: Conversion
    inputs: tuple[Input, ...]

    @property
    def name(self) -> tuple[str, tuple[str, ...]]:
        return self.conversion.id, tuple(one.id for one in self.inputs)


def plan_steps(job: Job) -> list[StepPlan]:
    """Conversion by conversion, inside input by input; only inputs that are there."""
    ready = [one for one in in_order(job.inputs) if one.status == "ready"]
    return [
        StepPlan(conversion=conversion, inputs=inputs)
        for conversion in job.conversions
        for inputs in ([tuple(ready)] if merges(conversion) else [(one,) for one in ready])
    ]


def merges(conversion: Conversion) -> bool:
    """Whether all inputs together become one result."""
    return conversion.category == "archive" or conversion.options.get("merge") is True


def in_order(inputs: Iterable[Input]) -> list[Input]:
    """By position; one without counts with its place among all, from 1, and comes before others that have the same.

    So any of them may change places, whether their positions are counted from 0 or from 1.
    """
    return [entry for _, entry in sorted(enumerate(inputs, start=1), key=_position)]


def _position(placed: tuple[int, Input]) -> tuple[float, bool]:
    place, entry = placed
    position = entry.options.get("position")
    return (position, True) if isinstance(position, int | float) else (place, False)


def with_facts(inputs: Iterable[Input], steps: Iterable[Step]) -> tuple[Input, ...]:
    """`inputs` with what conversions saw of them as their metadata."""
    seen = {name: facts for step in steps for name, facts in zip(step.inputs, step.facts, strict=False) if facts}
    return tuple(replace(one, metadata=seen[one.id]) if one.id in seen else one for one in inputs)


def step_errors(steps: Iterable[Step]) -> list[JsonObject]:
    """Entries of `errors` or `warnings`, one for every step that went wrong."""
    return [{"source": "conversion", "id_source": step.conversion, **step.error} for step in steps if step.error]


def step_warnings(steps: Iterable[Step]) -> list[JsonObject]:
    """Entries of `warnings` for steps that went well, but for something: each once, however many inputs there are."""
    entries = [
        {"source": "conversion", "id_source": step.conversion, **warning} for step in steps for warning in step.warnings
    ]
    return list({(one["id_source"], one["message"]): one for one in entries}.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Parcel:
    """What one conversion hands out: its files as they are, or packed into one."""

    conversion: Conversion
    files: tuple[tuple[StepFile, tuple[str, ...]], ...]
    packed: bool


def parcels(job: Job, steps: Iterable[Step]) -> Iterator[Parcel]:
    """For every conversion that made something, what to hand out; steps in the order they were planned."""
    by_name = {step.name: step for step in steps}
    ordered = [by_name[plan.name] for plan in plan_steps(job) if plan.name in by_name]
    for conversion in job.conversions:
        files = tuple(
            (file, step.inputs)
            for step in ordered
            if step.conversion == conversion.id and not step.error
            for file in step.files
        )
        if files:
            yield Parcel(conversion=conversion, files=files, packed=_is_packed(conversion, len(files)))


def _is_packed(conversion: Conversion, count: int) -> bool:
    if count < 2:
        return False
    threshold = conversion.options.get("allow_multiple_outputs_threshold")
    beyond = isinstance(threshold, int) and count > threshold
    return beyond or conversion.options.get("allow_multiple_outputs") is not True


def pack(files: Iterable[tuple[Path, str]], archive: Path) -> None:
    """A ZIP of `files` under the names given; stored, since most results are compressed already."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for path, name in files:
            entry = zipfile.ZipInfo(name)  # 1980: a date would make the same files another archive
            entry.external_attr = 0o644 << 16
            with path.open("rb") as source, packed.open(entry, "w", force_zip64=True) as target:
                while chunk := source.read(1024 * 1024):
                    target.write(chunk)


def named(conversion: Conversion, filename: str) -> str:
    """`filename`, or what the option `output_filename` says, with the extension of `filename`."""
    wanted = conversion.options.get("output_filename")
    stem = clean_name(wanted) if isinstance(wanted, str) else ""
    return stem + PurePosixPath(filename).suffix if stem else filename


def output_of(conversion: Conversion, file: StepFile, inputs: tuple[str, ...], *, now: float) -> Output:
    return Output(
        id=new_id(),
        conversion=conversion.id,
        inputs=inputs,
        blob=file.blob,
        filename=file.filename,
        size=file.size,
        checksum=file.checksum,
        content_type=file.content_type,
        created_at=timestamp(now),
        password=conversion.password,
        metadata=file.metadata,
    )


def with_unique_names(outputs: Iterable[Output]) -> tuple[Output, ...]:
    made = list(outputs)
    names = unique_names(one.filename for one in made)
    return tuple(replace(one, filename=name) for one, name in zip(made, names, strict=True))

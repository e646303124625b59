"""Lines to JSON and back, as the published schema says."""

from __future__ import annotations

import json
from typing import Any, get_args

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import resources
from runner.runlog import (
    Abandoned,
    Created,
    Delivered,
    DeliveryFailed,
    Event,
    Failed,
    Finished,
    Intent,
    Lost,
    NotDone,
    Refused,
    RunEnded,
    RunStarted,
    Staged,
    StagedUpload,
    Started,
    Starting,
    event_body,
    kind_of,
    read_event,
)
from runner.runlog.events import EVENT_KINDS, EVENT_TYPES
from runner.state import DeliveredFile, OutputRecord

# Whatever may stand in a name: blanks, newlines, control characters, any script. Lone surrogates are no text.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBER = st.integers(0, 2**53)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=4)
KEYED: dict[str, Any] = {"key": TEXT, "attempt": st.integers(1, 9)}
OUTPUTS = st.builds(
    OutputRecord,
    id=TEXT,
    filename=TEXT,
    uri=TEXT,
    size_bytes=NUMBER,
    checksum=TEXT,
    conversion_index=NUMBER,
)
FILES = st.builds(DeliveredFile, path=TEXT, size_bytes=NUMBER, sha256=TEXT, mtime_ns=NUMBER, inode=NUMBER)
UPLOADS = st.builds(StagedUpload, path=TEXT, size=NUMBER, sha256=TEXT, md5=TEXT)
NOT_DONE = st.builds(NotDone, status=TEXT, count=NUMBER, addresses=st.tuples(TEXT), errors=st.tuples(OBJECT))
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(RunStarted, run_id=TEXT, endpoint=TEXT, account=TEXT, command=TEXT, recipes=st.tuples(TEXT, TEXT)),
    st.builds(
        RunEnded,
        run_id=TEXT,
        exit_code=NUMBER,
        summary=st.dictionaries(TEXT, NUMBER, max_size=3),
        not_done=st.tuples(NOT_DONE),
    ),
    st.builds(
        Intent,
        **KEYED,
        addresses=st.tuples(TEXT),
        payload=OBJECT,
        cap=st.none() | NUMBER,
        recipe=TEXT,
        account=TEXT,
    ),
    st.builds(Created, **KEYED, job_id=TEXT),
    st.builds(Abandoned, **KEYED, job_id=TEXT),
    st.builds(Staged, **KEYED, uploads=st.lists(UPLOADS, max_size=2).map(tuple)),
    st.builds(Starting, **KEYED, job_id=TEXT),
    st.builds(Started, **KEYED, job_id=TEXT),
    st.builds(Refused, **KEYED, status=NUMBER, message=TEXT, until=st.none() | st.floats(0, 1e10)),
    st.builds(Finished, **KEYED, spent=NUMBER, outputs=st.lists(OUTPUTS, max_size=2).map(tuple)),
    st.builds(Failed, **KEYED, spent=NUMBER, errors=st.tuples(OBJECT)),
    st.builds(Lost, **KEYED, reason=TEXT),
    st.builds(Delivered, **KEYED, address=TEXT, save=TEXT, files=st.lists(FILES, max_size=2).map(tuple)),
    st.builds(DeliveryFailed, **KEYED, address=TEXT, message=TEXT, gone=st.booleans()),
)
SCHEMA = resources.schema("event")


@given(event=EVENTS)
def test_an_event_comes_back_as_it_was_and_fits_the_schema(event: Event) -> None:
    kind, body = kind_of(type(event)), event_body(event)

    assert read_event(kind, body) == event
    document = {"seq": 1, "at": 1.5, "run_id": "r", "fence": None, "kind": kind, "body": json.loads(body)}
    jsonschema.Draft7Validator(SCHEMA).validate(document)


def test_every_kind_is_listed_named_and_in_the_schema() -> None:
    assert set(EVENT_TYPES) == set(get_args(Event))
    assert set(EVENT_KINDS) == set(SCHEMA["definitions"]) == set(SCHEMA["properties"]["kind"]["enum"])
    assert kind_of(DeliveryFailed) == "delivery_failed"


def test_every_property_of_the_schema_has_a_description_and_an_example() -> None:
    found = list(properties(SCHEMA))

    assert len(found) > 50
    assert [name for name, each in found if "description" not in each or not each.get("examples")] == []


@pytest.mark.parametrize("kind", sorted(EVENT_KINDS))
def test_the_examples_of_the_schema_are_events(kind: str) -> None:
    (example,) = SCHEMA["definitions"][kind]["examples"]

    assert json.loads(event_body(read_event(kind, json.dumps(example)))) == example


def test_a_field_that_an_older_runner_did_not_write_has_its_default() -> None:
    body = '{"key": "k", "attempt": 1, "status": 402, "message": "m"}'

    assert read_event("refused", body) == Refused(key="k", attempt=1, status=402, message="m", until=None)


def properties(schema: Any) -> Any:
    if isinstance(schema, dict):
        yield from schema.get("properties", {}).items() if isinstance(schema.get("properties"), dict) else ()
        for inner in schema.values():
            yield from properties(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from properties(inner)


def test_the_end_of_a_run_in_an_old_log_says_nothing_of_what_was_not_done() -> None:
    ended = read_event("run_ended", '{"run_id": "r", "exit_code": 6, "summary": {"blocked": 1}}')

    assert ended == RunEnded(run_id="r", exit_code=6, summary={"blocked": 1})

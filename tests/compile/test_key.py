"""The key table, row by row: what makes two jobs different work, and what doesn't."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from runner.compile import job_key
from runner.wire.secrets import PLACEHOLDER

WORK: dict[str, Any] = {
    "input": [
        {"type": "upload", "source": "pictures/a.jpg", "filename": "a.jpg"},
        {
            "type": "cloud",
            "source": "amazons3",
            "parameters": {"bucket": "photos", "file": "b.tif"},
            "credentials": {"accesskeyid": "ID", "secretaccesskey": {"env": "S3"}},
        },
        {
            "type": "remote",
            "source": "https://example.com/c.png",
            "engine": "auto",
            "options": {"page": 1, "password": {"env": "SITE"}},
        },
        {"type": "gdrive_picker", "source": "file-id", "credentials": {"token": {"env": "DRIVE"}}},
    ],
    "conversion": [
        {
            "category": "image",
            "target": "webp",
            "options": {"quality": 82, "download_password": {"env": "DOOR"}},
            "metadata": {"title": "A"},
            "output_target": [
                {
                    "type": "ftp",
                    "parameters": {"host": "h", "file": "f"},
                    "credentials": {"username": "me", "password": {"env": "FTP"}},
                }
            ],
        },
        {"category": "document", "target": "pdf", "options": {"password": {"env": "PDF"}}},
    ],
    "callback": "https://example.com/done",
    "notify_status": True,
    "limits": {"job": {"max_credit": 2}},
    "fail_on_input_error": True,
    "fail_on_conversion_error": True,
    "download_passwords": [{"env": "ONE"}],
}
DIGESTS = {0: "a" * 64}


def key(payload: Mapping[str, Any] = WORK, **more: Any) -> str:
    usual: dict[str, Any] = {"digests": DIGESTS, "endpoint": "local", "epoch": 0}
    return job_key(dict(payload), **(usual | more))


def changed(*steps: str | int, to: Any) -> dict[str, Any]:
    """WORK with one value replaced."""
    document: dict[str, Any] = copy.deepcopy(WORK)
    at: Any = document
    for step in steps[:-1]:
        at = at[step]
    at[steps[-1]] = to
    return document


IN = {
    "input type": ("input", 2, "type", "input_id"),
    "engine": ("input", 2, "engine", "other"),
    "input options": ("input", 2, "options", {"page": 2}),
    "filename": ("input", 0, "filename", "b.jpg"),
    "provider": ("input", 1, "source", "azure"),
    "parameters": ("input", 1, "parameters", "file", "other.tif"),
    "remote source": ("input", 2, "source", "https://example.com/d.png"),
    "picked file": ("input", 3, "source", "other-id"),
    "category": ("conversion", 0, "category", "archive"),
    "category left out": ("conversion", 0, "category", None),
    "target": ("conversion", 0, "target", "png"),
    "target as written": ("conversion", 0, "target", "WEBP"),
    "options": ("conversion", 0, "options", "quality", 83),
    "metadata": ("conversion", 0, "metadata", "title", "B"),
    "account of a target": ("conversion", 0, "output_target", 0, "credentials", "username", "other"),
    "target type": ("conversion", 0, "output_target", 0, "type", "azure"),
    "target parameters": ("conversion", 0, "output_target", 0, "parameters", "file", "g"),
}
OUT = {
    "upload path": ("input", 0, "source", "elsewhere/z.jpg"),
    "input credentials": ("input", 1, "credentials", {"accesskeyid": "OTHER"}),
    "input option": ("input", 2, "options", "password", {"env": "OTHER"}),
    "picker token": ("input", 3, "credentials", {"token": {"file": "t"}}),
    "target password": ("conversion", 0, "output_target", 0, "credentials", "password", {"env": "OTHER"}),
    "download password": ("conversion", 0, "options", "download_password", {"env": "OTHER"}),
    "password of an option": ("conversion", 1, "options", "password", {"env": "OTHER"}),
    "download passwords": ("download_passwords", [{"env": "TWO"}]),
    "callback": ("callback", "https://example.com/other"),
    "notify_status": ("notify_status", False),
    "limits": ("limits", {"job": {"max_credit": 9}}),
    "fail_on_input_error": ("fail_on_input_error", False),
    "fail_on_conversion_error": ("fail_on_conversion_error", False),
}


@pytest.mark.parametrize("row", IN.values(), ids=IN.keys())
def test_what_changes_the_result_changes_the_key(row: tuple[Any, ...]) -> None:
    assert key(changed(*row[:-1], to=row[-1])) != key()


@pytest.mark.parametrize("row", OUT.values(), ids=OUT.keys())
def test_what_changes_nothing_of_the_result_leaves_the_key_alone(row: tuple[Any, ...]) -> None:
    assert key(changed(*row[:-1], to=row[-1])) == key()


@pytest.mark.parametrize("more", [{"endpoint": "hosted"}, {"epoch": 1}, {"digests": {0: "b" * 64}}])
def test_endpoint_epoch_and_content_are_part_of_the_key(more: dict[str, Any]) -> None:
    assert key(**more) != key()


def test_a_download_password_or_none_are_different_work() -> None:
    without = changed("conversion", 0, "options", to={"quality": 82})

    assert key(without) != key()


def test_a_presigned_link_is_known_by_its_identity() -> None:
    one = changed("input", 2, "source", to="https://example.com/c.png?signature=1")
    two = changed("input", 2, "source", to="https://example.com/c.png?signature=2")
    for document in (one, two):
        document["input"][2]["identity"] = "c.png of November"

    assert key(one) == key(two)


def azure(account: Any) -> dict[str, Any]:
    """An input in somebody's container, and a target there."""
    entry = {"parameters": {"container": "c", "file": "f"}, "credentials": {"accountname": account, "accountkey": "x"}}
    return {
        "input": [{"type": "cloud", "source": "azure", **entry}],
        "conversion": [{"target": "png", "output_target": [{"type": "azure", **entry}]}],
    }


def test_a_reference_to_an_account_is_the_name_it_stands_for() -> None:
    reference = {"env": "AZN"}
    literal = [key(azure(name), digests={}) for name in ("a", "b")]

    named = [key(azure(reference), digests={}, accounts={'{"env": "AZN"}': name}) for name in ("a", "b")]

    assert named == literal
    assert key(azure(reference), digests={}) not in named  # nobody knows whose it is
    assert len({*literal, key(azure(None), digests={})}) == 3


def test_the_key_of_an_old_log_counts_no_account() -> None:
    former = "k1:d2a6ecc8b1f22f6a15fbdcf87937fda9d4f65e754cc88720563a1467e357439b"  # as it was made before

    at = ("conversion", 0, "output_target", 0, "credentials", "username")
    keys = [key(payload, accounts=None) for payload in (WORK, changed(*at, to="you"))]

    assert keys == [former, former]
    assert key() != former


def test_accounts_count_for_inputs_and_targets_each() -> None:
    one, other = azure("a"), azure("b")

    assert key({**one, "input": other["input"]}, digests={}) != key(one, digests={})
    assert key({**one, "conversion": other["conversion"]}, digests={}) != key(one, digests={})


def test_the_order_of_inputs_and_of_conversions_counts() -> None:
    remote = changed("input", to=WORK["input"][1:3])
    turned = changed("input", to=WORK["input"][2:0:-1])

    assert key(remote, digests={}) != key(turned, digests={})
    assert key(changed("conversion", to=WORK["conversion"][::-1])) != key()


def test_an_absent_object_is_an_empty_one() -> None:
    bare = {"input": [{"source": "https://example.com/a"}], "conversion": [{"target": "png"}]}
    full = {
        "input": [{"type": "remote", "source": "https://example.com/a", "options": {}}],
        "conversion": [{"target": "png", "options": {}, "metadata": {}, "output_target": []}],
    }

    assert key(bare, digests={}) == key(full, digests={})


def test_the_key_is_the_digest_of_canonical_json_and_has_not_moved() -> None:
    payload = {"input": [{"source": "https://example.com/é"}], "conversion": [{"target": "png", "options": {"b": 1.0}}]}
    canonical = (
        '{"conversion":[{"category":null,"metadata":{},"options":{"b":1},"output_target":[],"target":"png"}],'
        '"endpoint":"local","epoch":0,'
        '"input":[{"engine":null,"filename":null,"options":{},"source":"https://example.com/é","type":"remote"}]}'
    )

    assert key(payload, digests={}) == "k1:" + hashlib.sha256(canonical.encode()).hexdigest()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    # A string JSON can carry: no lone surrogates.
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abé€😀", max_size=3), inner, max_size=3),
    max_leaves=8,
)
option_tables = st.dictionaries(st.text("abc_é", min_size=1, max_size=5), json_values, max_size=5)


@given(options=option_tables, data=st.data())
def test_the_order_of_options_never_counts(options: dict[str, Any], data: st.DataObject) -> None:
    names = data.draw(st.permutations(list(options)))
    shuffled = {name: options[name] for name in names}

    usual = {"conversion": [{"target": "png", "options": options}]}
    other = {"conversion": [{"options": shuffled, "target": "png"}]}

    assert key(other, digests={}) == key(usual, digests={})


@given(one=option_tables, two=option_tables)
def test_options_that_differ_as_json_make_another_key(one: dict[str, Any], two: dict[str, Any]) -> None:
    keys = [key({"conversion": [{"target": "png", "options": each}]}, digests={}) for each in (one, two)]

    assert (keys[0] == keys[1]) == (rfc8785.dumps(one) == rfc8785.dumps(two))


@given(options=option_tables)
def test_a_round_trip_through_json_keeps_the_key(options: dict[str, Any]) -> None:
    payload = {"conversion": [{"target": "png", "options": options}]}

    assert key(json.loads(json.dumps(payload)), digests={}) == key(payload, digests={})


@given(secret=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_no_credential_but_the_name_of_an_account_has_a_say_in_the_key(secret: str) -> None:
    document = copy.deepcopy(WORK)
    document["input"][1]["credentials"] = {"accesskeyid": secret, "secretaccesskey": secret, "sessiontoken": secret}
    document["conversion"][0]["output_target"][0]["credentials"] = {"username": "me", "password": secret}
    document["conversion"][0]["options"]["download_password"] = secret
    document["download_passwords"] = [secret]

    assert key(document) == key()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**60, -(2**53), "\ud800", {1: 2}, {1, 2}])
def test_what_json_cannot_carry_exactly_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"JCS|integer|UTF-8|keys|unsupported"):
        key(changed("conversion", 0, "options", to={"value": value}))


def test_values_that_only_python_takes_for_equal_are_different_work() -> None:
    told = [key(changed("conversion", 0, "options", "quality", to=value)) for value in (1, True, 0, False, "1", 1)]

    assert len(set(told)) == 5
    assert told[0] == told[-1]


def test_a_key_put_together_from_parts_is_that_of_the_whole_document() -> None:
    whole: dict[str, Any] = {
        "endpoint": "local",
        "epoch": 3,
        "input": [
            {"type": "upload", "engine": None, "options": {}, "filename": "a.jpg", "sha256": "a" * 64},
            {
                "type": "cloud",
                "engine": None,
                "options": {},
                "filename": None,
                "revision": "v1",
                "source": "amazons3",
                "parameters": {"bucket": "photos", "file": "b.tif"},
            },
            {
                "type": "remote",
                "engine": "auto",
                "options": {"page": 1, "password": PLACEHOLDER},
                "filename": None,
                "revision": "\u00e9",
                "source": "https://example.com/c.png",
            },
            {"type": "gdrive_picker", "engine": None, "options": {}, "filename": None, "source": "file-id"},
        ],
        "conversion": [
            {
                "category": "image",
                "target": "webp",
                "options": {"quality": 82, "download_password": PLACEHOLDER},
                "metadata": {"title": "A"},
                "output_target": [{"type": "ftp", "parameters": {"host": "h", "file": "f"}, "account": "me"}],
            },
            {
                "category": "document",
                "target": "pdf",
                "options": {"password": PLACEHOLDER},
                "metadata": {},
                "output_target": [],
            },
        ],
    }

    told = key(epoch=3, revisions={1: "v1", 2: "\u00e9"})

    assert told == f"k1:{hashlib.sha256(rfc8785.dumps(whole)).hexdigest()}"

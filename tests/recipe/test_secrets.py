from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import InvalidError
from runner.recipe.secrets import resolve_reference
from runner.wire.secrets import fill_secrets
from runner.wire.values import Json

ENV = {"SET": "hunter2", "EMPTY": "", "BYTES": "\udcff"}


def test_variable_gives_its_value(tmp_path: Path) -> None:
    assert resolve_reference({"env": "SET"}, env=ENV, folder=tmp_path) == "hunter2"


@pytest.mark.parametrize(
    ("data", "name", "value"),
    [
        (b"hunter2\n", "pw", "hunter2"),
        (b"hunter2\r\n", "pw", "hunter2"),
        (b" a b \n\n", "pw", " a b \n"),
        (b'{"type": "service_account"}', "key.json", {"type": "service_account"}),
        (b"not json", "key.json", "not json"),
        (b"[1]", "key.json", "[1]"),
        (b'{"a": 1}', "key.txt", '{"a": 1}'),
    ],
)
def test_file_gives_its_text_and_a_key_file_its_object(tmp_path: Path, data: bytes, name: str, value: Json) -> None:
    (tmp_path / name).write_bytes(data)

    assert resolve_reference({"file": name}, env={}, folder=tmp_path) == value


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ({"env": "GONE"}, "the environment variable 'GONE' is not set"),
        ({"env": "EMPTY"}, "the environment variable 'EMPTY' is empty"),
        ({"env": "BYTES"}, "the environment variable 'BYTES' is not UTF-8 text"),
        ({"file": "gone"}, "gone' can't be read: No such file or directory"),
        ({"file": "."}, "can't be read: Is a directory"),
        ({"file": "empty"}, "empty' is empty"),
        ({"file": "bytes"}, "bytes' is not UTF-8 text"),
        ({"file": "large"}, "large' is larger than 1,048,576 bytes"),
        ({"env": 3}, "the secret reference 'env' needs a name"),
        ({"password": "hunter2"}, "exactly one of env, file and keyring"),
    ],
)
def test_secret_that_is_not_there_is_named_without_its_value(
    tmp_path: Path, reference: dict[str, Json], said: str
) -> None:
    (tmp_path / "empty").write_bytes(b"\n")
    (tmp_path / "bytes").write_bytes(b"hunter2\xff")
    (tmp_path / "large").write_bytes(b"x" * (1024 * 1024 + 1))

    with pytest.raises(InvalidError) as caught:
        resolve_reference(reference, env=ENV, folder=tmp_path)

    assert said in str(caught.value)
    assert "hunter2" not in f"{caught.value}{caught.value.hint}{caught.value.__cause__!r}"


def test_keyring_that_can_not_answer_names_the_entry_or_the_extra(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"extra 'keyring'|the keyring") as caught:
        resolve_reference({"keyring": "conversion-runner-tests/nobody"}, env={}, folder=tmp_path)

    assert "keyring" in caught.value.hint or "conversion-runner-tests/nobody" in str(caught.value)


def test_options_with_the_name_of_a_secret_are_resolved_and_others_sent_as_they_are() -> None:
    options = {"password": {"env": "SET"}, "decrypt_password": {"env": "SET"}, "font": {"env": "SET"}, "quality": 3}
    job = {"input": [{"source": "https://x.org/a", "options": options}], "conversion": [{"options": options}]}

    filled = fill_secrets(job, lambda reference: ENV[reference["env"]])

    resolved = {"password": "hunter2", "decrypt_password": "hunter2", "font": {"env": "SET"}, "quality": 3}
    assert [filled[part][0]["options"] for part in ("input", "conversion")] == [resolved, resolved]

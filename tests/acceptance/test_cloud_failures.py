"""What goes wrong in the clouds, seen from a recipe: one shape of error, exit 6, and a later run does what is left."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from tests.acceptance.clouds import STARTERS, Cloud, pointed_at, providers
from tests.acceptance.command_line import ROOT, Desk, Done, copy_examples, new_desk
from tests.server.storage.ftpd import Ftpd, ftpd
from tests.server.storage.seaweed import READER_ID, READER_SECRET, session_token
from tests.server.storage.wire import wire_to

NAME = "recipes/failing.recipe.json"
PICTURE = (ROOT / "recipes/pictures/mountains.jpg").read_bytes()
HOLDERS = {"amazons3": "bucket", "googlecloud": "bucket", "azure": "container"}
UPLOAD = {"type": "upload", "source": "pictures/mountains.jpg"}


def place(cloud: Cloud, file: str, **changed: Any) -> dict[str, Any]:
    remote, variables = cloud.remote, {value: name for name, value in cloud.shell.items()}
    credentials = {
        name: {"env": variables[value if isinstance(value, str) else json.dumps(value)]}
        for name, value in remote.credentials.items()
    }
    return {"parameters": {**remote.parameters, "file": file, **changed}, "credentials": credentials}


def reading(cloud: Cloud, file: str, **changed: Any) -> str:
    given = {"type": "cloud", "source": cloud.remote.provider, **place(cloud, file, **changed)}
    return json.dumps({"input": [given], "conversion": [{"target": "png"}]})


def writing(cloud: Cloud, file: str, **changed: Any) -> str:
    target = {"type": cloud.remote.provider, **place(cloud, file, **changed)}
    return json.dumps({"input": [UPLOAD], "conversion": [{"target": "webp", "output_target": [target]}]})


def run(desk: Desk, *more: str) -> Done:
    return desk.runner("run", NAME, "--endpoint", "local", "--format", "json", *more)


def error_of(done: Done) -> dict[str, Any]:
    """The first error of the one job, which failed alone and whole."""
    (job,) = done.json["jobs"]
    assert (done.code, job["status"], job["spent"]) == (6, "failed", 0), done.out + done.err
    error: dict[str, Any] = job["errors"][0]
    return error


def test_a_missing_object_is_named_and_fetched_once_it_is_there(pointed: Desk, cloud: Cloud) -> None:
    pointed.write(NAME, reading(cloud, "later/picture.jpg"))

    error = error_of(run(pointed))
    waiting = run(pointed)
    cloud.remote.put("later/picture.jpg", PICTURE)
    done = run(pointed, "--retry-failed")

    assert error["code"] == 17
    assert "file 'later/picture.jpg'" in error["message"]
    assert waiting.code == 6
    assert (done.code, done.json["summary"]["succeeded"]) == (0, 1), done.err
    result = pointed.folder / "recipes/out/failing/picture.png"
    assert Image.open(io.BytesIO(result.read_bytes())).format == "PNG"


@pytest.mark.parametrize("way", [reading, writing], ids=["in", "out"])
def test_a_missing_bucket_is_named(pointed: Desk, cloud: Cloud, way: Any) -> None:
    holder = HOLDERS.get(cloud.remote.provider)
    if holder is None:  # FTP has hosts instead
        pointed.write(NAME, way(cloud, "x.jpg", host="127.0.0.1", port=1))
    else:
        pointed.write(NAME, way(cloud, "x.jpg", **{holder: "nobodys-bucket"}))

    error = error_of(run(pointed))

    assert error["code"] == (99 if holder is None else 17)
    assert ("host '127.0.0.1'" if holder is None else "'nobodys-bucket'") in error["message"]


@pytest.mark.parametrize(
    "name", ["with blanks/and more.jpg", "naïve/файл 文件.jpg", "a+b/c+d.jpg", "100%/%20.jpg", "/leading.jpg"]
)
def test_names_of_every_kind_go_both_ways(pointed: Desk, cloud: Cloud, name: str) -> None:
    stored = name.replace(".jpg", "-back.webp")
    cloud.remote.put(name, PICTURE)
    document = json.loads(reading(cloud, name))
    target = json.loads(writing(cloud, stored))["conversion"][0]
    pointed.write(NAME, json.dumps({**document, "conversion": [target]}))

    done = run(pointed)

    assert done.code == 0, done.out + done.err
    assert Image.open(io.BytesIO(cloud.remote.get(stored) or b"")).format == "WEBP"


# Google's key file names its own endpoint, and FTP's data has ports of its own: tests/server/storage/ cuts those.
@pytest.mark.parametrize("provider", [one for one in providers() if one.values[0] in ("s3", "azure")], indirect=True)
def test_a_connection_that_is_cut_is_taken_up_without_anybody_noticing(pointed: Desk, cloud: Cloud) -> None:
    ((setting, url),) = cloud.remote.endpoint.items()
    cloud.remote.put("cut/picture.jpg", PICTURE)
    with wire_to(url) as wire:
        wire.cut_down, wire.cuts = len(PICTURE) // 2, 1
        pointed.write("recipes/runner.toml", f'[local]\nallow_private = ["127.0.0.0/8"]\n{setting} = "{wire.url}"\n')
        pointed.write(NAME, reading(cloud, "cut/picture.jpg"))
        done = run(pointed)

    assert (done.code, wire.cuts) == (0, 0), done.err
    result = pointed.folder / "recipes/out/failing/picture.png"
    assert Image.open(io.BytesIO(result.read_bytes())).size == Image.open(io.BytesIO(PICTURE)).size


S3 = pytest.mark.xdist_group("s3")


@pytest.fixture
def s3(tmp_path: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Desk, Cloud]]:
    desk = new_desk(tmp_path)
    copy_examples(desk)
    for cloud in STARTERS["s3"](tmp_path_factory.mktemp("s3")):
        yield pointed_at(desk, cloud), cloud


@S3
def test_a_key_that_may_only_read_stores_nothing_and_is_told(s3: tuple[Desk, Cloud]) -> None:
    desk, cloud = s3
    reader = {"AWS_ACCESS_KEY_ID": READER_ID, "AWS_SECRET_ACCESS_KEY": READER_SECRET}
    desk.write(NAME, writing(cloud, "forbidden.webp"))

    looked = replace(desk, more={**desk.more, **reader}).runner("plan", NAME, "--preflight", "--endpoint", "local")
    error = error_of(run(replace(desk, more={**desk.more, **reader})))

    assert error["code"] == 17
    assert "access denied" in error["message"]
    assert (looked.code, "access denied" in looked.err) == (5, True)
    assert cloud.remote.get("forbidden.webp") is None


@S3
def test_a_session_token_is_a_credential_like_the_others(s3: tuple[Desk, Cloud]) -> None:
    desk, cloud = s3
    made = session_token(cloud.remote.endpoint["s3_endpoint"])
    temporary = {"T_ID": made["accesskeyid"], "T_SECRET": made["secretaccesskey"], "T_TOKEN": made["sessiontoken"]}
    credentials = {
        "accesskeyid": {"env": "T_ID"},
        "secretaccesskey": {"env": "T_SECRET"},
        "sessiontoken": {"env": "T_TOKEN"},
    }
    document = json.loads(writing(cloud, "temporary.webp"))
    document["conversion"][0]["output_target"][0]["credentials"] = credentials
    desk.write(NAME, json.dumps(document))

    done = run(replace(desk, more={**desk.more, **temporary}))
    state = b"".join(path.read_bytes() for path in (desk.folder / "recipes").rglob(".runner/**/*") if path.is_file())

    assert done.code == 0, done.err
    assert (cloud.remote.get("temporary.webp") or b"")[:4] == b"RIFF"
    assert made["sessiontoken"].encode() not in state + done.out.encode() + done.err.encode()


@pytest.fixture
def naughty(tmp_path: Any) -> Iterator[Ftpd]:
    (tmp_path / "ftp").mkdir()
    with ftpd(tmp_path / "ftp") as server:
        yield server


def test_a_full_disk_at_ftp_fails_the_job_and_a_later_run_delivers(examples: Desk, naughty: Ftpd) -> None:
    remote = naughty.remote
    shell = {"FTP_USERNAME": str(remote.credentials["username"]), "FTP_PASSWORD": str(remote.credentials["password"])}
    cloud = Cloud(remote=remote, sets={}, shell=shell, wrong={})
    desk = pointed_at(examples, cloud)
    desk.write(NAME, writing(cloud, "full/one.webp"))

    naughty.mischief.full = True
    error = error_of(run(desk))
    naughty.mischief.full = False
    done = run(desk, "--retry-failed")

    assert error["code"] == 99
    assert "file 'full/one.webp'" in error["message"]
    assert (done.code, (remote.get("full/one.webp") or b"")[:4]) == (0, b"RIFF"), done.err
    assert [path.name for path in (naughty.home / "full").iterdir()] == ["one.webp"]

"""What a job says about storage is checked before anything is connected to, and can't lead the server astray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from runner.server.embedded import read_config
from runner.server.engine.cloud_inputs import site_of
from runner.server.engine.delivery import numbered
from runner.server.storage.azure import account_url
from runner.server.storage.azure import connect as connect_azure
from runner.server.storage.googlecloud import connect as connect_google
from runner.server.storage.googlecloud import read_keyfile
from runner.server.storage.places import place_of, refusal
from runner.server.storage.protocol import Place, Site, StorageError
from runner.wire.values import Json, JsonObject
from tests.server.storage.gcs import keyfile
from tests.server.storage.remote import Remote

S3 = {"accesskeyid": "id", "secretaccesskey": "secret-of-the-job"}
KEYFILE = keyfile("https://oauth2.googleapis.com", rsa.generate_private_key(public_exponent=65537, key_size=2048))


def google(**changed: Any) -> Place:
    parameters: JsonObject = {"projectid": "p", "bucket": "b", "file": "f"}
    return place_of("googlecloud", parameters, {"keyfile": {**KEYFILE, **changed}})


def test_defaults_are_the_apis() -> None:
    s3 = place_of("amazons3", {"bucket": "b", "file": "f"}, S3)
    ftp = place_of("ftp", {"host": "h", "file": "f"}, {"username": "u", "password": "p"})

    assert (s3.parameters["region"], ftp.parameters["port"]) == ("eu-central-1", "21")
    assert s3.name == "Amazon S3, bucket 'b', file 'f'"


def test_an_empty_text_is_no_region_and_a_number_is_as_good_as_its_text() -> None:
    s3 = place_of("amazons3", {"bucket": "b", "file": 5, "region": ""}, S3)

    assert s3.parameters == {"bucket": "b", "file": "5", "region": "eu-central-1"}


def test_null_is_not_given() -> None:
    s3 = place_of("amazons3", {"bucket": "b", "file": "f", "region": None}, {**S3, "sessiontoken": None})

    assert (s3.parameters["region"], s3.credentials) == ("eu-central-1", S3)
    with pytest.raises(StorageError, match=r"Amazon S3: credentials\.secretaccesskey is missing$"):
        place_of("amazons3", {"bucket": "b", "file": "f"}, {**S3, "secretaccesskey": None})


def test_everything_that_is_missing_is_named_at_once_and_no_value_is() -> None:
    with pytest.raises(StorageError) as caught:
        place_of("amazons3", {"bucket": ["x"]}, {"secretaccesskey": {"hunter2": 1}})

    assert caught.value.message == (
        "Amazon S3: parameters.file is missing; parameters.bucket must be a string; "
        "credentials.accesskeyid is missing; credentials.secretaccesskey must be a string"
    )


def ftp(**parameters: Any) -> Place:
    return place_of("ftp", {"file": "f", **parameters}, {"username": "u", "password": "p"})


@pytest.mark.parametrize(
    ("host", "port", "found"),
    [
        ("h.example", None, ("h.example", "21")),
        ("h.example", 2121, ("h.example", "2121")),
        ("h.example:2121", None, ("h.example", "2121")),
        ("h.example:2121", "", ("h.example", "2121")),
        ("h.example:2121", "2121", ("h.example", "2121")),
        ("ftp://h.example:2121/pub", None, ("h.example", "2121")),
        ("ftps://h.example:/", None, ("h.example", "21")),
        ("::1", None, ("::1", "21")),
        ("[::1]", 2121, ("::1", "2121")),
        ("FTP://[::1]:2121/", None, ("::1", "2121")),
    ],
)
def test_an_ftp_host_is_a_name_an_address_or_a_url(host: str, port: Json, found: tuple[str, str]) -> None:
    place = ftp(host=host, port=port)

    assert (place.parameters["host"], place.parameters["port"]) == found
    assert place == ftp(host=found[0], port=found[1])


@pytest.mark.parametrize(
    ("host", "port", "problem"),
    [
        ("h:2121", 21, "parameters.host and parameters.port name two different ports"),
        ("h:99999", None, "the port in parameters.host must be a number from 1 to 65535"),
        ("ftp://h:x/", None, "the port in parameters.host must be a number from 1 to 65535"),
        ("[::1]2121:", None, "the port in parameters.host must be a number from 1 to 65535"),
        ("h:2121", "x", "parameters.port must be a number from 1 to 65535"),
        ("ftp://u:hunter2@h/", None, "parameters.host must hold no user name and no password"),
        ("sftp://h/", None, "parameters.host must be a name, an IP address, or a URL of ftp or ftps"),
        ("ftp:///", None, "parameters.host is missing"),
    ],
)
def test_an_ftp_host_that_cannot_be_is_said_so(host: str, port: Json, problem: str) -> None:
    with pytest.raises(StorageError) as caught:
        ftp(host=host, port=port)

    assert problem in caught.value.message
    assert "hunter2" not in caught.value.message


def test_a_place_shows_no_credential() -> None:
    assert "secret-of-the-job" not in repr(place_of("amazons3", {"bucket": "b", "file": "f"}, S3))


@pytest.mark.parametrize(
    "changed",
    [
        {"token_uri": "http://169.254.169.254/latest"},
        {"token_uri": "https://oauth2.googleapis.com.evil.example/token"},
        {"token_uri": "https://oauth2.googleapis.com/token?x"},
        {"token_uri": ""},
        {"private_key": ""},
        {"private_key": "no key at all"},
        {"type": "external_account"},
    ],
)
def test_a_key_file_that_leads_elsewhere_or_is_none_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(StorageError) as caught:
        connect_google(google(**changed), Site())

    assert "keyfile" in caught.value.message
    assert "no key at all" not in caught.value.message


@pytest.mark.parametrize("bucket", ["-x", "x-", "_x", "x.", "..", "tests/", "a/b", "a#b", "a?b", "ä", " "])
def test_a_bucket_of_google_that_cannot_be_is_refused_before_it_becomes_a_part_of_an_address(bucket: str) -> None:
    parameters: JsonObject = {"projectid": "p", "bucket": bucket, "file": "f"}

    with pytest.raises(StorageError, match="begin and end with a letter or a digit"):
        connect_google(place_of("googlecloud", parameters, {"keyfile": KEYFILE}), Site())


@pytest.mark.parametrize("bucket", ["b", "my-bucket_2", "pictures.example.com"])
def test_a_bucket_of_google_may_have_hyphens_underscores_and_dots(bucket: str) -> None:
    parameters: JsonObject = {"projectid": "p", "bucket": bucket, "file": "f"}

    connect_google(place_of("googlecloud", parameters, {"keyfile": KEYFILE}), Site()).close()


def test_a_key_file_may_be_an_object_or_its_text_and_only_what_is_needed_is_read() -> None:
    given = {**KEYFILE, "universe_domain": "evil.example"}

    assert read_keyfile(given, Site()) == read_keyfile(json.dumps(given), Site())
    assert set(read_keyfile(given, Site())) == {"client_email", "private_key", "token_uri"}


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null"])
def test_a_key_file_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(StorageError, match="no JSON object"):
        read_keyfile(text, Site())


def test_a_stand_ins_token_uri_is_good_only_where_the_endpoint_is_configured() -> None:
    stand_in = {**KEYFILE, "token_uri": "http://127.0.0.1:9/token"}

    assert read_keyfile(stand_in, Site(gcs_endpoint="http://127.0.0.1:9"))["token_uri"] == "http://127.0.0.1:9/token"
    with pytest.raises(StorageError, match="not Google's"):
        read_keyfile(stand_in, Site(gcs_endpoint="http://127.0.0.1:10"))


@pytest.mark.parametrize("account", ["evil.example/", "a", "x" * 25, "UPPER", "name@evil", "127.0.0.1:80/"])
def test_an_account_name_cannot_become_another_host(account: str) -> None:
    place = place_of("azure", {"container": "c", "file": "f"}, {"accountname": account, "accountkey": "a2V5"})

    with pytest.raises(StorageError, match="lower-case letters and digits"):
        connect_azure(place, Site())


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("", "https://acme.blob.core.windows.net"),
        ("http://127.0.0.1:10000", "http://127.0.0.1:10000/acme"),
        ("http://127.0.0.1:10000/", "http://127.0.0.1:10000/acme"),
        ("http://127.0.0.1:10000/acme", "http://127.0.0.1:10000/acme"),
    ],
)
def test_an_azure_endpoint_gets_the_account_where_it_has_no_path(endpoint: str, url: str) -> None:
    assert account_url("acme", endpoint) == url


@pytest.mark.xdist_group("s3")
def test_what_the_machine_is_configured_for_does_not_leak_into_a_job(s3: Remote, tmp_path: Path) -> None:
    """In a process of its own: the SDK reads its surroundings once."""
    s3.put("leak.txt", b"x")
    (tmp_path / "config").write_text("[profile other]\nregion = nowhere-1\ns3 =\n  addressing_style = virtual\n")
    machine = {
        "AWS_SESSION_TOKEN": "of-the-machine",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
    }
    place = s3.place("leak.txt")
    script = (
        "import sys, json, pathlib, threading, hashlib\n"
        "from runner.server.storage.places import place_of\n"
        "from runner.server.storage.protocol import Site\n"
        "from runner.server.storage.transfer import Order, fetch\n"
        "told = json.load(sys.stdin)\n"
        "order = Order(path=pathlib.Path(told['path']), most_bytes=9, too_large='', stopped=threading.Event(),"
        " digest=hashlib.md5())\n"
        "place = place_of('amazons3', told['parameters'], told['credentials'])\n"
        "print(fetch(place, Site(s3_endpoint=told['endpoint']), order).size)\n"
    )
    told = {
        "path": str(tmp_path / "fetched"),
        "parameters": dict(place.parameters),
        "credentials": dict(place.credentials),
        "endpoint": s3.endpoint["s3_endpoint"],
    }

    for profile in ("", "other", "of-nobody"):
        env = {**os.environ, **machine, **({"AWS_PROFILE": profile} if profile else {})}
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, input=json.dumps(told), env=env, capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == ("1\n", "")


def test_a_missing_client_is_named_with_the_command_that_brings_it() -> None:
    script = (
        "import sys\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('boto3', 'google', 'azure'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Without())\n"
        "from runner.server.storage.places import refusal\n"
        "for name in ('amazons3', 'googlecloud', 'azure', 'ftp'):\n"
        "    print(refusal(name))\n"
    )

    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    lines = said.split("\n")
    assert lines[0] == (
        "This server has no client for Amazon S3: the package boto3 is missing. "
        "Install it: pip install 'conversion-runner[cloud]'"
    )
    assert ["conversion-runner[cloud]" in line for line in lines[:4]] == [True, True, True, False]
    assert refusal("amazons3") == ""


def test_a_server_that_uses_no_storage_loads_no_client() -> None:
    script = (
        "import sys, runner.server.assembly\n"
        "clients = ('boto3', 'botocore', 'google.cloud.storage', 'azure.storage')\n"
        "print([name for name in clients if name in sys.modules])"
    )

    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert said == "[]\n"


def test_endpoints_come_from_the_servers_settings() -> None:
    line = json.dumps({"state_dir": "/x", "uds": "/y", "s3_endpoint": "http://s3", "azure_endpoint": "http://az"})

    site = site_of(read_config(line.encode()))

    assert (site.s3_endpoint, site.gcs_endpoint, site.azure_endpoint) == ("http://s3", "", "http://az")


def test_an_endpoint_that_is_no_url_stops_serve(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "runner",
        "serve",
        "--state",
        str(tmp_path / "s"),
        "--s3-endpoint",
        "localhost:9000",
    ]

    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))

    assert done.returncode == 5
    assert "--s3-endpoint is not the URL of a server" in done.stderr


@given(st.text(min_size=1, max_size=40), st.integers(2, 500))
def test_numbered_names_are_told_apart_and_stay_in_their_folder(file: str, number: int) -> None:
    named = numbered(file, number)

    assert named not in (file, numbered(file, number + 1))
    assert named.rpartition("/")[0] == file.rpartition("/")[0]
    name = PurePosixPath(file.rpartition("/")[2])
    assert PurePosixPath(named).suffix == name.suffix or not name.name or file.endswith(".")

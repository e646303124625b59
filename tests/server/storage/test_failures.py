"""What goes wrong with a provider is said by name, without a credential, and leaves nothing half done."""

from __future__ import annotations

import errno
import secrets
import threading
import traceback
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from runner.server.storage.contact import scrubbed
from runner.server.storage.looking import look_at_source, look_at_target
from runner.server.storage.protocol import (
    FAILED,
    NAME_TAKEN,
    NOT_FOUND,
    TOO_SLOW,
    Place,
    Site,
    Stopped,
    StorageError,
)
from runner.server.storage.transfer import deliver, fetch
from tests.server.storage.everywhere import MIB, everywhere, noise, object_stores, order, upload
from tests.server.storage.ftpd import PASSWORD
from tests.server.storage.gcs import keyfile
from tests.server.storage.remote import Remote
from tests.server.storage.seaweed import READER_ID, READER_SECRET, session_token
from tests.server.storage.wire import wire_to

WRONG_KEYFILE = keyfile("http://127.0.0.1:1", rsa.generate_private_key(public_exponent=65537, key_size=2048))


def wrong_secret(remote: Remote) -> dict[str, Any]:
    url = next(iter(remote.endpoint.values()), "")
    wrong: dict[str, dict[str, Any]] = {
        "amazons3": {"secretaccesskey": "wrong-secret-wrong"},
        "azure": {"accountkey": "d3Jvbmcta2V5LXdyb25nLWtleS13cm9uZw=="},
        "googlecloud": {"keyfile": {**WRONG_KEYFILE, "token_uri": f"{url}/token"}},
        "ftp": {"password": "wrong-password"},
    }
    return wrong[remote.provider]


def raised(error: StorageError) -> str:
    """Everything that a log could show of an error."""
    return "".join(traceback.format_exception(error))


@everywhere
def test_wrong_credentials_get_nothing_and_store_nothing(remote: Remote, tmp_path: Path) -> None:
    remote.put("secret.txt", b"secret")
    wrong = wrong_secret(remote)

    with pytest.raises(StorageError) as reading:
        fetch(remote.place("secret.txt", **wrong), remote.site(), order(tmp_path))
    with pytest.raises(StorageError) as writing:
        deliver(remote.place("not-mine.txt", **wrong), remote.site(), upload(tmp_path, b"x"))

    assert (reading.value.code, writing.value.code) == (NOT_FOUND, NOT_FOUND)
    assert "file 'secret.txt'" in reading.value.message
    assert remote.get("not-mine.txt") is None
    for value in wrong.values():
        secret = value if isinstance(value, str) else value["private_key"].splitlines()[3]
        assert secret not in raised(reading.value) + raised(writing.value)


@pytest.mark.xdist_group("gcs")
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_tokens_that_cannot_be_had_for_a_moment_are_asked_for_again(gcs: Remote, tmp_path: Path, status: int) -> None:
    name = f"tokens-{status}.txt"

    deliver(_refused_tokens(gcs, 2, status).place(name), gcs.site(attempts=3), upload(tmp_path, b"x"))

    assert gcs.get(name) == b"x"


@pytest.mark.xdist_group("gcs")
@pytest.mark.parametrize("direction", ["in", "out"])
@pytest.mark.parametrize(
    ("status", "said"), [(502, "the connection broke, 2 times in a row"), (429, "busy for"), (503, "busy for")]
)
def test_tokens_that_cannot_be_had_are_not_the_key_files_fault(
    gcs: Remote, tmp_path: Path, direction: str, status: int, said: str
) -> None:
    place = _refused_tokens(gcs, 99, status).place(f"no-tokens-{status}-{direction}.txt")

    with pytest.raises(StorageError) as caught:
        _move(direction, place, gcs.site(attempts=2, busy_s=0.01), tmp_path)

    assert caught.value.code == FAILED
    assert said in caught.value.message
    assert f"the server that issues tokens answers {status}" in caught.value.message
    assert "html" not in caught.value.message


@everywhere
def test_a_file_that_is_not_there_is_named(remote: Remote, tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        fetch(remote.place("no/such file.txt"), remote.site(), order(tmp_path))

    assert caught.value.code == NOT_FOUND
    assert "no such file" in caught.value.message
    assert "'no/such file.txt'" in caught.value.message


@object_stores
@pytest.mark.parametrize("direction", ["in", "out"])
def test_a_bucket_that_is_not_there_is_named(remote: Remote, tmp_path: Path, direction: str) -> None:
    holder = "container" if remote.provider == "azure" else "bucket"
    place = remote.place("a.txt", **{holder: "no-such-place"})

    with pytest.raises(StorageError) as caught:
        _move(direction, place, remote.site(), tmp_path)

    assert caught.value.code == NOT_FOUND
    assert f"{holder} 'no-such-place'" in caught.value.message


@object_stores
@pytest.mark.parametrize("direction", ["in", "out"])
@pytest.mark.parametrize("name", ["tests/", "tests ", "..", "../x", "tests/../tests", "tests?x"])
def test_a_bucket_that_no_store_could_have_is_named(remote: Remote, tmp_path: Path, name: str, direction: str) -> None:
    holder = "container" if remote.provider == "azure" else "bucket"

    with pytest.raises(StorageError) as caught:
        _move(direction, remote.place("a.txt", **{holder: name}), remote.site(), tmp_path)

    assert caught.value.code == FAILED
    assert f"{holder} '{name}'" in caught.value.message


@pytest.mark.xdist_group("blob")
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"accountkey": "d3Jvbmcta2V5LXdyb25nLWtleS13cm9uZw=="}, "has no right to it (AuthorizationFailure)"),
        ({"accountkey": "abc"}, "has no right to it: it isn't base64"),
        ({"container": "Bad_Name!"}, "InvalidResourceName: The specified resource name contains invalid characters."),
    ],
)
def test_azures_codes_are_said_as_azure_says_them(blob: Remote, changed: dict[str, str], said: str) -> None:
    with pytest.raises(StorageError) as caught:
        look_at_source(blob.place("a.txt", **changed), blob.site())

    assert caught.value.message.endswith(said)


@pytest.mark.xdist_group("blob")
@pytest.mark.parametrize("name", ["x/../y.jpg", "./dot.jpg", "..", "a/.", "a//../b"])
def test_a_blob_that_azure_cannot_name_is_not_the_keys_fault(blob: Remote, tmp_path: Path, name: str) -> None:
    place = blob.place(name)

    for act in (
        lambda: fetch(place, blob.site(), order(tmp_path)),
        lambda: deliver(place, blob.site(), upload(tmp_path, b"x")),
        lambda: look_at_source(place, blob.site()),
        lambda: look_at_target(place, blob.site()),
    ):
        with pytest.raises(StorageError) as caught:
            act()
        assert caught.value.code == FAILED
        assert caught.value.message == (
            f"Azure Blob Storage, container 'tests', file '{name}': no blob can have this name: "
            "'.' and '..' in a path stand for folders"
        )


@pytest.mark.xdist_group("gcs")
@pytest.mark.parametrize("name", [".", ".."])
def test_an_object_that_google_cannot_name_is_said_so(gcs: Remote, tmp_path: Path, name: str) -> None:
    for act in (
        lambda: fetch(gcs.place(name), gcs.site(), order(tmp_path)),
        lambda: deliver(gcs.place(name), gcs.site(), upload(tmp_path, b"x")),
        lambda: look_at_target(gcs.place(name), gcs.site()),
    ):
        with pytest.raises(StorageError) as caught:
            act()
        assert (caught.value.code, "no object can have this name" in caught.value.message) == (FAILED, True)


@pytest.mark.xdist_group("blob")
@pytest.mark.parametrize("name", ["a/.hidden", "b/...", "c..d/e.", "f/..g"])
def test_a_blob_may_have_dots_in_its_name(blob: Remote, tmp_path: Path, name: str) -> None:
    deliver(blob.place(name), blob.site(), upload(tmp_path, b"x"))

    assert fetch(blob.place(name), blob.site(), order(tmp_path)).size == 1


@everywhere
@pytest.mark.parametrize("size", [3, 20 * MIB], ids=["small", "large"])
def test_a_name_that_is_taken_is_refused_and_keeps_its_bytes(remote: Remote, tmp_path: Path, size: int) -> None:
    name = f"taken-{size}.txt"
    remote.put(name, b"first")

    with pytest.raises(StorageError) as caught:
        deliver(remote.place(name), remote.site(), upload(tmp_path, b"x" * size))

    assert caught.value.code == NAME_TAKEN
    assert f"file '{name}'" in caught.value.message
    assert remote.get(name) == b"first"


@object_stores
@pytest.mark.parametrize("size", [3, 20 * MIB], ids=["small", "large"])
def test_of_two_that_want_one_name_at_once_one_gets_it(remote: Remote, tmp_path: Path, size: int) -> None:
    refused: list[StorageError] = []
    ready = threading.Barrier(2)

    def race(mine: bytes) -> None:
        folder = tmp_path / mine.decode()
        folder.mkdir()
        own = upload(folder, mine * size, token=f"token-of-{mine.decode()}")
        ready.wait()
        try:
            deliver(remote.place(f"raced-{size}.txt"), remote.site(), own)
        except StorageError as error:
            refused.append(error)

    threads = [threading.Thread(target=race, args=(mine,)) for mine in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [error.code for error in refused] == [NAME_TAKEN]
    stored = remote.get(f"raced-{size}.txt")
    assert stored in (b"a" * size, b"b" * size)


@pytest.mark.xdist_group("s3")
def test_who_may_only_read_can_read_and_cannot_write(s3: Remote, tmp_path: Path) -> None:
    s3.put("readable.txt", b"read")
    reader = {"accesskeyid": READER_ID, "secretaccesskey": READER_SECRET}

    assert fetch(s3.place("readable.txt", **reader), s3.site(), order(tmp_path)).size == 4
    with pytest.raises(StorageError) as caught:
        deliver(s3.place("unwritten.txt", **reader), s3.site(), upload(tmp_path, b"x"))

    assert (caught.value.code, "access denied" in caught.value.message) == (NOT_FOUND, True)
    assert s3.get("unwritten.txt") is None


@pytest.mark.xdist_group("s3")
def test_temporary_credentials_need_their_session_token(s3: Remote, tmp_path: Path) -> None:
    s3.put("session.txt", b"s")
    temporary = session_token(s3.endpoint["s3_endpoint"])
    remote = replace(s3, credentials=temporary)

    assert fetch(remote.place("session.txt"), remote.site(), order(tmp_path)).size == 1
    with pytest.raises(StorageError) as caught:
        fetch(remote.place("session.txt", sessiontoken="wrong-session-token"), remote.site(), order(tmp_path))

    assert "wrong-session-token" not in caught.value.message


@pytest.mark.xdist_group("s3")
def test_a_session_token_that_is_null_is_none(s3: Remote, tmp_path: Path) -> None:
    s3.put("no-session.txt", b"s")
    remote = replace(s3, credentials={**s3.credentials, "sessiontoken": None})

    assert fetch(remote.place("no-session.txt"), remote.site(), order(tmp_path)).size == 1


@pytest.fixture
def region_of_the_bucket() -> Iterator[str]:
    """Says what S3 says to who signs for another region than the bucket's; SeaweedFS takes any region."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = (
                b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region 'eu-west-9' is wrong; "
                b"expecting 'eu-central-1'</Message><Region>eu-central-1</Region></Error>"
            )
            self.send_response(400)
            self.send_header("x-amz-bucket-region", "eu-central-1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.xdist_group("s3")
def test_a_wrong_region_fails_and_the_right_one_is_not_guessed(
    s3: Remote, region_of_the_bucket: str, tmp_path: Path
) -> None:
    remote = s3.behind(region_of_the_bucket)

    for act in (
        lambda: fetch(remote.place("a.txt", region="eu-west-9"), remote.site(), order(tmp_path)),
        lambda: deliver(remote.place("a.txt", region="eu-west-9"), remote.site(), upload(tmp_path, b"x")),
    ):
        with pytest.raises(StorageError) as caught:
            act()
        assert "not in the region 'eu-west-9'" in caught.value.message
        assert "expecting 'eu-central-1'" in caught.value.message


@object_stores
def test_a_download_that_is_cut_goes_on_where_it_was(remote: Remote, tmp_path: Path) -> None:
    content = noise(20 * MIB)
    remote.put("cut-down.bin", content)

    with wire_to(next(iter(remote.endpoint.values()))) as wire:
        wire.cut_down, wire.cuts = 9 * MIB, 2
        place = _behind(remote, wire.url).place("cut-down.bin")
        got = fetch(place, remote.site(**_at(remote, wire.url)), order(tmp_path))

    assert (tmp_path / "fetched").read_bytes() == content
    assert (got.size, wire.cuts) == (len(content), 0)


@object_stores
def test_an_upload_that_is_cut_is_done_again_and_whole(remote: Remote, tmp_path: Path) -> None:
    content = noise(20 * MIB)

    with wire_to(next(iter(remote.endpoint.values()))) as wire:
        wire.cut_up, wire.cuts = 3 * MIB, 1
        place = _behind(remote, wire.url).place("cut-up.bin")
        deliver(place, remote.site(**_at(remote, wire.url)), upload(tmp_path, content))

    assert (remote.get("cut-up.bin"), wire.cuts) == (content, 0)


@object_stores
def test_an_upload_whose_answer_is_lost_is_known_as_our_own(remote: Remote, tmp_path: Path) -> None:
    with wire_to(next(iter(remote.endpoint.values()))) as wire:
        wire.lose_answer_to = b"bytes-of-the-upload"
        place = _behind(remote, wire.url).place("answer-lost.txt")
        deliver(place, remote.site(**_at(remote, wire.url)), upload(tmp_path, b"bytes-of-the-upload"))

    assert (remote.get("answer-lost.txt"), wire.lose_answer_to) == (b"bytes-of-the-upload", b"")


LAST_WORDS = {"amazons3": b"<CompleteMultipartUpload", "azure": b"<BlockList>", "googlecloud": b"/20971520"}


@object_stores
def test_a_large_upload_whose_last_answer_is_lost_is_known_as_our_own(remote: Remote, tmp_path: Path) -> None:
    content = noise(20 * MIB)

    with wire_to(next(iter(remote.endpoint.values()))) as wire:
        wire.lose_answer_to = LAST_WORDS[remote.provider]
        place = _behind(remote, wire.url).place("large-answer-lost.bin")
        deliver(place, remote.site(**_at(remote, wire.url)), upload(tmp_path, content))

    assert wire.lose_answer_to == b""
    assert remote.get("large-answer-lost.bin") == content


@object_stores
@pytest.mark.parametrize("direction", ["in", "out"])
def test_a_server_that_falls_silent_is_given_up(remote: Remote, tmp_path: Path, direction: str) -> None:
    remote.put(f"silent-{direction}.txt", b"x")

    with wire_to(next(iter(remote.endpoint.values()))) as wire:
        wire.silent = True
        site = remote.site(**_at(remote, wire.url), silence_s=0.2, attempts=2)
        place = _behind(remote, wire.url).place(f"silent-{direction}.txt")
        with pytest.raises(StorageError) as caught:
            _move(direction, place, site, tmp_path)

    assert caught.value.code == FAILED
    assert "the connection broke, 2 times in a row" in caught.value.message


@everywhere
def test_a_file_above_the_limit_is_not_fetched(remote: Remote, tmp_path: Path) -> None:
    remote.put("huge.bin", b"x" * 1000)

    with pytest.raises(StorageError) as caught:
        fetch(remote.place("huge.bin"), remote.site(), order(tmp_path, most_bytes=999))

    assert (caught.value.code, caught.value.message) == (413, "too large")
    assert (tmp_path / "fetched").stat().st_size == 0


@everywhere
def test_a_file_that_there_is_no_room_for_is_not_fetched(remote: Remote, tmp_path: Path) -> None:
    remote.put("roomy.bin", b"x" * 1000)

    def reserve(size_bytes: int) -> None:
        if size_bytes > 999:
            raise OSError(errno.EDQUOT, "no room")

    with pytest.raises(OSError, match="no room"):
        fetch(remote.place("roomy.bin"), remote.site(), replace(order(tmp_path), reserve=reserve))

    assert (tmp_path / "fetched").stat().st_size == 0


@everywhere
def test_what_nobody_wants_any_more_stops(remote: Remote, tmp_path: Path) -> None:
    remote.put("unwanted-in.bin", b"x" * MIB)
    unwanted = upload(tmp_path, b"x" * MIB)
    unwanted.stopped.set()
    ordered = order(tmp_path)
    ordered.stopped.set()

    with pytest.raises(Stopped):
        fetch(remote.place("unwanted-in.bin"), remote.site(), ordered)
    with pytest.raises(Stopped):
        deliver(remote.place("unwanted-out.bin"), remote.site(), unwanted)

    assert remote.get("unwanted-out.bin") is None


@everywhere
def test_an_upload_whose_time_is_over_ends(remote: Remote, tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        deliver(remote.place("too-slow.txt"), remote.site(), upload(tmp_path, b"x" * MIB), most_s=-1)

    assert (caught.value.code, "The upload took longer than" in caught.value.message) == (TOO_SLOW, True)
    assert remote.get("too-slow.txt") is None


@pytest.mark.xdist_group("s3")
def test_a_large_upload_that_breaks_goes_on_with_the_parts_that_are_missing(s3: Remote, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4 * 1024 * 48

    with wire_to(s3.endpoint["s3_endpoint"]) as wire:
        wire.cut_up, wire.cuts = 9 * MIB, 8  # after one part: from the start it would never get through
        deliver(s3.behind(wire.url).place("parts.bin"), s3.behind(wire.url).site(attempts=3), upload(tmp_path, content))

    assert s3.get("parts.bin") == content
    assert wire.cuts < 8


@pytest.mark.xdist_group("s3")
def test_a_large_upload_that_is_given_up_leaves_no_parts(s3: Remote, tmp_path: Path) -> None:
    with wire_to(s3.endpoint["s3_endpoint"]) as wire:
        wire.cut_up, wire.cuts = 3 * MIB, 99
        with pytest.raises(StorageError, match="the connection broke"):
            deliver(
                s3.behind(wire.url).place("given-up.bin"),
                s3.behind(wire.url).site(attempts=2),
                upload(tmp_path, b"x" * 20 * MIB),
            )

    client = boto3.client(
        "s3",
        endpoint_url=s3.endpoint["s3_endpoint"],
        region_name="eu-central-1",
        aws_access_key_id=s3.credentials["accesskeyid"],
        aws_secret_access_key=s3.credentials["secretaccesskey"],
    )
    uploads = client.list_multipart_uploads(Bucket=s3.parameters["bucket"]).get("Uploads", [])
    client.close()
    assert [one["Key"] for one in uploads if one["Key"] == "given-up.bin"] == []


@pytest.mark.xdist_group("s3")
def test_our_own_full_disk_is_not_the_providers_fault(s3: Remote, tmp_path: Path) -> None:
    s3.put("fine.txt", b"x" * 1000)
    (tmp_path / "fetched").symlink_to("/dev/full")

    with pytest.raises(OSError, match="No space left"):
        fetch(s3.place("fine.txt"), s3.site(), order(tmp_path))


def test_messages_are_scrubbed_of_every_credential() -> None:
    credentials = {"keyfile": {"private_key": "-----KEY-----", "client_email": "me@x"}, "password": PASSWORD}

    said = scrubbed(f"530 {PASSWORD} -----KEY----- for me@x", credentials)

    assert said == "530 *** *** for me@x"


def _move(direction: str, place: Place, site: Site, tmp_path: Path) -> None:
    if direction == "in":
        fetch(place, site, order(tmp_path))
    else:
        deliver(place, site, upload(tmp_path, b"x"))


def _refused_tokens(gcs: Remote, times: int, status: int) -> Remote:
    """The same with a key file whose tokens are refused so often."""
    account = {**gcs.credentials["keyfile"]}
    account["token_uri"] += f"/{times}/{status}/{secrets.token_hex(4)}"
    return replace(gcs, credentials={"keyfile": account})


def _at(remote: Remote, url: str) -> dict[str, str]:
    return dict.fromkeys(remote.endpoint, url)


def _behind(remote: Remote, url: str) -> Remote:
    """The same over another line; a key file names the line that tokens come from."""
    credentials = dict(remote.credentials)
    if "keyfile" in credentials:
        credentials["keyfile"] = {**credentials["keyfile"], "token_uri": f"{url}/token"}
    return replace(remote.behind(url), credentials=credentials)

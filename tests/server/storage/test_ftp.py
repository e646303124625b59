"""FTP's own trouble: no create-if-absent, connections that break, disks that fill, hosts in private networks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from runner.server.storage.protocol import FAILED, NAME_TAKEN, NOT_FOUND, Site, StorageError, Upload
from runner.server.storage.transfer import deliver, fetch
from runner.server.store.checksums import Digest
from tests.server.storage.everywhere import MIB, order, upload
from tests.server.storage.ftpd import READER, Ftpd
from tests.server.storage.remote import Remote

pytestmark = pytest.mark.xdist_group("ftp")


def test_folders_on_the_way_are_made_and_nothing_else_is_left(naughty: Ftpd, tmp_path: Path) -> None:
    deliver(naughty.remote.place("a/b c/d.txt"), naughty.remote.site(), upload(tmp_path, b"x"))

    assert [str(path.relative_to(naughty.home)) for path in sorted(naughty.home.rglob("*"))] == [
        "a",
        "a/b c",
        "a/b c/d.txt",
    ]


def test_a_download_that_is_cut_goes_on_where_it_was(naughty: Ftpd, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4 * 1024 * 8
    naughty.remote.put("cut.bin", content)
    naughty.mischief.cut_after, naughty.mischief.cuts = MIB, 3

    got = fetch(naughty.remote.place("cut.bin"), naughty.remote.site(), order(tmp_path))

    assert (tmp_path / "fetched").read_bytes() == content
    assert (got.size, naughty.mischief.cuts) == (len(content), 0)


def test_a_server_that_falls_silent_is_given_up(naughty: Ftpd, tmp_path: Path) -> None:
    naughty.remote.put("silent.bin", b"x" * MIB)
    naughty.mischief.stalls = True

    with pytest.raises(StorageError) as caught:
        fetch(naughty.remote.place("silent.bin"), naughty.remote.site(silence_s=0.2, attempts=2), order(tmp_path))

    assert caught.value.code == FAILED
    assert "the connection broke, 2 times in a row" in caught.value.message


def test_a_full_disk_there_is_said_and_leaves_no_half_file(naughty: Ftpd, tmp_path: Path) -> None:
    naughty.mischief.full = True

    with pytest.raises(StorageError) as caught:
        deliver(naughty.remote.place("full.bin"), naughty.remote.site(attempts=2), upload(tmp_path, b"x" * MIB))

    assert (caught.value.code, "transfer aborted" in caught.value.message) == (FAILED, True)
    assert list(naughty.home.iterdir()) == []


def test_a_rename_whose_answer_is_lost_is_known_as_our_own(naughty: Ftpd, tmp_path: Path) -> None:
    naughty.mischief.lost = 1

    deliver(naughty.remote.place("renamed.txt"), naughty.remote.site(), upload(tmp_path, b"mine"))

    assert [path.name for path in naughty.home.iterdir()] == ["renamed.txt"]
    assert naughty.mischief.lost == 0


def test_a_rename_that_never_was_is_not_mistaken_for_a_file_of_the_same_size(naughty: Ftpd, tmp_path: Path) -> None:
    naughty.mischief.snatched = 1

    with pytest.raises(StorageError) as caught:
        deliver(naughty.remote.place("wanted.txt"), naughty.remote.site(), upload(tmp_path, b"mine"))

    assert caught.value.code == NAME_TAKEN
    assert {path.name: path.read_bytes() for path in naughty.home.iterdir()} == {"wanted.txt": b"xxxx"}


def test_of_two_who_want_one_name_at_the_same_moment_one_gets_it(naughty: Ftpd, tmp_path: Path) -> None:
    naughty.mischief.late_s = 0.3
    port = naughty.remote.parameters["port"]
    ways = [("d/x.png", "127.0.0.1"), ("./d//s/../x.png", f"ftp://127.0.0.1:{port}/"), ("d/./x.png", "localhost")]

    def refusal(number: int) -> int:
        (folder := tmp_path / str(number)).mkdir()
        file, host = ways[number]
        sent = upload(folder, bytes([number]), token=f"token-of-{number:03}")
        try:
            deliver(naughty.remote.place(file, host=host), naughty.remote.site(), sent)
        except StorageError as error:
            return error.code
        return 0

    with ThreadPoolExecutor(len(ways)) as pool:
        refusals = list(pool.map(refusal, range(len(ways))))

    assert sorted(refusals) == [0, NAME_TAKEN, NAME_TAKEN]
    assert naughty.remote.get("d/x.png") == bytes([refusals.index(0)])
    assert [path.name for path in (naughty.home / "d").iterdir() if path.is_file()] == ["x.png"]


def test_a_server_that_cannot_store_is_asked_once_more_and_then_quoted(naughty: Ftpd, tmp_path: Path) -> None:
    naughty.mischief.not_stored = 9

    with pytest.raises(StorageError) as caught:
        deliver(naughty.remote.place("full.txt"), naughty.remote.site(), upload(tmp_path, b"mine"))

    assert "the server could not store it: 451 Failure writing to local file." in caught.value.message
    assert naughty.mischief.not_stored == 7
    assert list(naughty.home.iterdir()) == []


def test_a_server_that_stumbles_once_while_storing_is_forgiven(naughty: Ftpd, tmp_path: Path) -> None:
    naughty.mischief.not_stored = 1

    deliver(naughty.remote.place("stumbled.txt"), naughty.remote.site(), upload(tmp_path, b"mine"))

    assert {path.name: path.read_bytes() for path in naughty.home.iterdir()} == {"stumbled.txt": b"mine"}


def test_a_name_as_long_as_names_may_be_is_delivered(naughty: Ftpd, tmp_path: Path) -> None:
    name = "n" * 251 + ".txt"

    deliver(naughty.remote.place(f"folder/{name}"), naughty.remote.site(), upload(tmp_path, b"mine"))

    assert [path.name for path in (naughty.home / "folder").iterdir()] == [name]


def test_who_may_only_read_cannot_write(naughty: Ftpd, tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        deliver(naughty.remote.place("no.txt", username=READER), naughty.remote.site(), upload(tmp_path, b"x"))

    assert caught.value.code == NOT_FOUND
    assert "no right to it" in caught.value.message
    assert list(naughty.home.iterdir()) == []


def test_a_file_that_changed_between_two_parts_is_not_glued_together(naughty: Ftpd, tmp_path: Path) -> None:
    naughty.remote.put("changing.bin", b"a" * 4 * MIB)
    naughty.mischief.cut_after, naughty.mischief.cuts = MIB, 1
    ordered = order(tmp_path)

    class Changing:
        """Hashes, and changes the file at the first chunk."""

        def update(self, chunk: bytes, /) -> None:
            naughty.remote.put("changing.bin", b"b" * 5 * MIB)
            ordered.digest.update(chunk)

        def hexdigest(self) -> str:
            return ordered.digest.hexdigest()

        def copy(self) -> Digest:
            raise NotImplementedError

    with pytest.raises(StorageError, match="changed while it was read"):
        fetch(naughty.remote.place("changing.bin"), naughty.remote.site(), replace(ordered, digest=Changing()))


def test_private_hosts_are_refused_unless_they_are_allowed(naughty: Ftpd, tmp_path: Path) -> None:
    naughty.remote.put("inside.txt", b"x")

    for host in ("127.0.0.1", "localhost", "ftp://127.0.0.1/", "::ffff:127.0.0.1"):
        with pytest.raises(StorageError, match="private or reserved network"):
            fetch(naughty.remote.place("inside.txt", host=host), Site(), order(tmp_path))

    allowed = naughty.remote.place("inside.txt", host="ftp://127.0.0.1/")
    assert fetch(allowed, naughty.remote.site(), order(tmp_path)).size == 1


@pytest.mark.parametrize("host", ["127.0.0.1:{}", "ftp://127.0.0.1:{}", "ftp://127.0.0.1:{}/", "FTPS://localhost:{}/x"])
@pytest.mark.parametrize("named_twice", [False, True])
def test_the_port_may_stand_in_the_host(naughty: Ftpd, tmp_path: Path, host: str, named_twice: bool) -> None:
    port = naughty.remote.parameters["port"]
    place = naughty.remote.place("there.txt", host=host.format(port), port=port if named_twice else None)

    deliver(place, naughty.remote.site(), upload(tmp_path, b"x"))

    assert fetch(place, naughty.remote.site(), order(tmp_path)).size == 1
    assert naughty.remote.get("there.txt") == b"x"


def test_a_server_cannot_send_us_to_another_address(naughty: Ftpd, tmp_path: Path) -> None:
    """Passive mode lets a server name the address of the data; only its port counts."""
    naughty.remote.put("passive.txt", b"x")
    naughty.handler.masquerade_address = "10.255.255.1"

    assert fetch(naughty.remote.place("passive.txt"), naughty.remote.site(), order(tmp_path)).size == 1


def test_a_line_break_in_a_name_never_reaches_the_server() -> None:
    with pytest.raises(StorageError, match="control characters"):
        Remote(
            provider="ftp",
            endpoint={},
            parameters={"host": "x"},
            credentials={"username": "u", "password": "p"},
            put=lambda _, __: None,
            get=lambda _: None,
            remove=lambda _: None,
        ).place("a\r\nDELE b")


def test_a_host_that_nobody_knows_is_named(tmp_path: Path, naughty: Ftpd) -> None:
    with pytest.raises(StorageError, match=r"host 'no-such-host\.invalid'.*could not be found"):
        fetch(naughty.remote.place("a", host="no-such-host.invalid"), Site(), order(tmp_path))


def test_a_taken_name_is_refused_before_anything_is_sent(naughty: Ftpd, tmp_path: Path) -> None:
    naughty.remote.put("taken", b"first")
    unread = Upload(path=tmp_path / "never-opened", size=3, content_type="", token="t" * 20, stopped=Event())

    with pytest.raises(StorageError) as caught:
        deliver(naughty.remote.place("taken"), naughty.remote.site(), unread)

    assert caught.value.code == NAME_TAKEN
    assert naughty.remote.get("taken") == b"first"


def test_a_folder_of_that_name_is_in_the_way(naughty: Ftpd, tmp_path: Path) -> None:
    (naughty.home / "taken").mkdir()

    with pytest.raises(StorageError):
        deliver(naughty.remote.place("taken"), naughty.remote.site(), upload(tmp_path, b"x"))

    assert [path.name for path in naughty.home.rglob("*")] == ["taken"]

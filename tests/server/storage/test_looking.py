"""Looking without touching: listings, and how reading or storing an object would fare.

Laxer than the real thing: SeaweedFS and Azurite know no rights by name, so a key that may do less is only tried at S3,
where the credentials of nobody stand for it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.server.storage.looking import listed, look_at_source, look_at_target
from runner.server.storage.places import shelf_of
from runner.server.storage.protocol import NAME_TAKEN, NOT_FOUND, Found, Place, StorageError
from runner.server.storage.transfer import deliver, fetch
from tests.server.storage.everywhere import everywhere, object_stores, order, upload, with_group
from tests.server.storage.ftpd import Ftpd
from tests.server.storage.gcs import READ_ONLY
from tests.server.storage.remote import Remote
from tests.server.storage.strict_s3 import strict_s3

FTP = pytest.mark.parametrize("server", [with_group("ftp"), with_group("ftps")])
WRONG = {
    "amazons3": {"secretaccesskey": "wrong-secret-of-nobody"},
    "azure": {"accountkey": "d3Jvbmcta2V5LXdyb25nLWtleS13cm9uZw=="},
    "ftp": {"password": "wrong-password"},
}
BUCKET = {"amazons3": "bucket", "googlecloud": "bucket", "azure": "container"}


def shelf(remote: Remote, prefix: str, **changed: str) -> Place:
    credentials = {name: changed.get(name, value) for name, value in remote.credentials.items()}
    parameters = {name: changed.get(name, value) for name, value in remote.parameters.items()}
    return shelf_of(remote.provider, {**parameters, "prefix": prefix}, credentials)


def names(found: list[Found]) -> list[str]:
    return [one.name for one in found]


@everywhere
def test_a_listing_has_what_lies_below_the_prefix_by_name_with_sizes(remote: Remote) -> None:
    for name in ("list/b ü.txt", "list/a/deep/x+y.txt", "list/a.txt", "elsewhere/list/a.txt"):
        remote.put(name, b"12345"[: len(name) % 5 + 1])

    found = listed(shelf(remote, "list/"), remote.site())

    assert names(found) == ["list/a.txt", "list/a/deep/x+y.txt", "list/b ü.txt"]
    assert [one.size for one in found] == [len(one.name) % 5 + 1 for one in found]
    for one in found:  # what was listed can be fetched under that very name
        look_at_source(remote.place(one.name), remote.site())


@everywhere
def test_a_changed_object_has_another_version_and_an_untouched_one_the_same(remote: Remote) -> None:
    remote.put("versions/one.txt", b"first")
    remote.put("versions/two.txt", b"stays")
    before = {one.name: one.version for one in listed(shelf(remote, "versions/"), remote.site())}
    remote.put("versions/one.txt", b"second and longer")

    after = {one.name: one.version for one in listed(shelf(remote, "versions/"), remote.site())}

    assert all(before.values())
    assert after["versions/one.txt"] != before["versions/one.txt"]
    assert after["versions/two.txt"] == before["versions/two.txt"]


@everywhere
def test_only_wanted_names_count_and_not_more_than_asked_for(remote: Remote) -> None:
    for number in range(5):
        remote.put(f"some/{number}.jpg", b"x")
        remote.put(f"some/{number}.txt", b"x")

    found = listed(shelf(remote, "some/"), remote.site(), most=3, is_wanted=lambda name: name.endswith(".jpg"))

    assert len(found) == 3
    assert all(name.endswith(".jpg") for name in names(found))


@object_stores
def test_a_prefix_needs_no_slash_and_nothing_behind_it_is_an_empty_listing(remote: Remote) -> None:
    remote.put("pre-a.txt", b"x")
    remote.put("pre-b.txt", b"x")

    assert names(listed(shelf(remote, "pre-"), remote.site())) == ["pre-a.txt", "pre-b.txt"]
    assert listed(shelf(remote, "there-is-nothing/"), remote.site()) == []


@pytest.mark.parametrize("server", [with_group("s3"), with_group("blob")])
def test_a_listing_goes_on_over_its_pages(remote: Remote) -> None:
    """S3 answers 1,000 names a page, Azure 5,000."""
    for number in range(1001):
        remote.put(f"many/{number:04}", b"")

    found = listed(shelf(remote, "many/"), remote.site())

    assert names(found) == [f"many/{number:04}" for number in range(1001)]


@FTP
def test_a_folder_that_is_not_there_is_named_and_an_empty_one_is_empty(remote: Remote, tmp_path: Path) -> None:
    remote.put("hollow/in/x", b"x")

    assert names(listed(shelf(remote, "hollow"), remote.site())) == ["hollow/in/x"]
    with pytest.raises(StorageError) as caught:
        listed(shelf(remote, "no-such-folder"), remote.site())
    assert caught.value.code == NOT_FOUND
    assert "prefix 'no-such-folder': there is no such folder" in caught.value.message


def test_a_server_with_mlsd_is_listed_by_it(naughty: Ftpd) -> None:
    """pyftpdlib knows MLSD; vsftpd doesn't, and is asked for every name."""
    remote = naughty.remote
    remote.put("m/a.txt", b"12")
    remote.put("m/n/b.txt", b"123")

    found = listed(shelf(remote, "m/"), remote.site())

    assert [(one.name, one.size) for one in found] == [("m/a.txt", 2), ("m/n/b.txt", 3)]
    assert all(len(one.version.split()) == 2 for one in found)


@object_stores
def test_a_bucket_that_is_not_there_cant_be_listed(remote: Remote) -> None:
    with pytest.raises(StorageError) as caught:
        listed(shelf(remote, "", **{BUCKET[remote.provider]: "no-such-bucket-anywhere"}), remote.site())

    assert "no-such-bucket-anywhere" in caught.value.message


@pytest.mark.parametrize("server", [with_group(name) for name in ("s3", "blob", "ftp")])
def test_wrong_credentials_list_nothing_and_are_not_told(remote: Remote) -> None:
    wrong = WRONG[remote.provider]

    with pytest.raises(StorageError) as caught:
        listed(shelf(remote, "", **wrong), remote.site())

    assert caught.value.code == NOT_FOUND
    assert not any(value in caught.value.message for value in wrong.values())


@everywhere
def test_a_source_that_is_there_passes_and_one_that_isnt_is_named(remote: Remote) -> None:
    remote.put("look/here.txt", b"x")

    look_at_source(remote.place("look/here.txt"), remote.site())
    with pytest.raises(StorageError) as caught:
        look_at_source(remote.place("look/nowhere.txt"), remote.site())

    assert caught.value.code == NOT_FOUND
    assert "look/nowhere.txt" in caught.value.message


@everywhere
def test_a_free_name_may_be_taken_afterwards_and_looking_leaves_nothing(remote: Remote, tmp_path: Path) -> None:
    unseen = look_at_target(remote.place("ahead/free.txt"), remote.site())

    assert remote.get("ahead/free.txt") is None
    assert unseen == ""
    deliver(remote.place("ahead/free.txt"), remote.site(), upload(tmp_path, b"mine"))
    fetch(remote.place("ahead/free.txt"), remote.site(), order(tmp_path))
    assert (tmp_path / "fetched").read_bytes() == b"mine"


@everywhere
def test_a_taken_name_is_told_before_anything_is_sent(remote: Remote) -> None:
    remote.put("ahead/taken.txt", b"theirs")

    with pytest.raises(StorageError) as caught:
        look_at_target(remote.place("ahead/taken.txt"), remote.site())

    assert caught.value.code == NAME_TAKEN
    assert remote.get("ahead/taken.txt") == b"theirs"


@object_stores
def test_a_target_without_a_bucket_is_told(remote: Remote) -> None:
    place = remote.place("x.txt", **{BUCKET[remote.provider]: "no-such-bucket-anywhere"})

    with pytest.raises(StorageError) as caught:
        look_at_target(place, remote.site())

    assert "no-such-bucket-anywhere" in caught.value.message


@pytest.mark.parametrize("server", [with_group(name) for name in ("s3", "blob", "ftp")])
def test_a_target_that_wouldnt_let_us_in_is_told(remote: Remote) -> None:
    with pytest.raises(StorageError) as caught:
        look_at_target(remote.place("x.txt", **WRONG[remote.provider]), remote.site())

    assert caught.value.code == NOT_FOUND


@pytest.mark.xdist_group("gcs")
def test_an_account_without_the_right_to_create_is_told_before(gcs: Remote) -> None:
    with pytest.raises(StorageError) as caught:
        look_at_target(gcs.place("x.txt", bucket=READ_ONLY), gcs.site())

    assert caught.value.code == NOT_FOUND
    assert "lacks storage.objects.create" in caught.value.message


def test_a_free_name_at_s3_is_seen_by_who_may_list_it_and_by_nobody_else(tmp_path: Path) -> None:
    with strict_s3() as bucket:
        remote = bucket.remote
        free, beside = remote.place("out/a"), remote.place("out/a.webp")
        deliver(beside, remote.site(), upload(tmp_path, b"mine"))
        blind = look_at_target(free, remote.site())
        bucket.may_list = True
        seen = look_at_target(free, remote.site())
        with pytest.raises(StorageError) as caught:
            look_at_target(beside, remote.site())

    assert blind == "these credentials may not look whether the name is free"
    assert seen == ""
    assert caught.value.code == NAME_TAKEN


@pytest.mark.parametrize("name", ["Bad_Bucket!", "a/b"])
def test_a_bucket_that_s3_cannot_have_is_said_in_a_line(name: str) -> None:
    with strict_s3() as bucket, pytest.raises(StorageError) as caught:
        look_at_target(bucket.remote.place("a", bucket=name), bucket.remote.site())

    assert caught.value.message == f"Amazon S3, bucket '{name}', file 'a': no bucket can have this name"

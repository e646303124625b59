"""Before buying: what a look at sources and targets shows, and what a plan says of names that are taken."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tests.acceptance.clouds import Cloud, pointed_at
from tests.acceptance.command_line import ROOT, Desk, Done, web
from tests.server.storage.strict_s3 import ACCESS_ID, SECRET, strict_s3

NAME = "recipes/look.recipe.json"
PICTURE = (ROOT / "recipes/pictures/mountains.jpg").read_bytes()
HOLDERS = {"amazons3": "bucket", "googlecloud": "bucket", "azure": "container"}


def place(cloud: Cloud, file: str, **changed: Any) -> dict[str, Any]:
    """Parameters and credentials for `file`, secrets as references to the shell's variables."""
    remote, variables = cloud.remote, {value: name for name, value in cloud.shell.items()}
    credentials = {
        name: {"env": variables[value if isinstance(value, str) else json.dumps(value)]}
        for name, value in remote.credentials.items()
    }
    return {"parameters": {**remote.parameters, "file": file, **changed}, "credentials": credentials}


def source(cloud: Cloud, file: str, **changed: Any) -> dict[str, Any]:
    return {"type": "cloud", "source": cloud.remote.provider, **place(cloud, file, **changed)}


def upload() -> dict[str, Any]:
    return {"type": "upload", "source": "pictures/mountains.jpg"}


def recipe(given: dict[str, Any], *targets: dict[str, Any], quality: int = 80, **more: Any) -> str:
    conversion = {"target": "webp", "options": {"quality": quality}, "output_target": list(targets)}
    return json.dumps({"input": [given], "conversion": [conversion], **more})


def target(cloud: Cloud, file: str, **changed: Any) -> dict[str, Any]:
    return {"type": cloud.remote.provider, **place(cloud, file, **changed)}


def ask(desk: Desk, *more: str, command: str = "plan") -> Done:
    return desk.runner(command, NAME, "--endpoint", "local", "--format", "json", *more)


def verdicts(done: Done) -> list[tuple[str, str]]:
    return [(sight["part"], sight["verdict"]) for sight in done.json["preflight"]]


def test_all_is_well_and_nothing_was_touched(pointed: Desk, cloud: Cloud) -> None:
    cloud.remote.put("look/in.jpg", PICTURE)
    pointed.write(NAME, recipe(source(cloud, "look/in.jpg"), target(cloud, "look/free.webp")))

    done = ask(pointed, "--preflight")

    assert (done.code, done.err) == (0, ""), done.err
    assert verdicts(done) == [("input", "ok"), ("output_target", "ok")]
    assert cloud.remote.get("look/free.webp") is None
    assert not (pointed.folder / "recipes/.runner/runs.db").exists()


def test_without_being_asked_nobody_is_looked_at(pointed: Desk, cloud: Cloud) -> None:
    pointed.write(NAME, recipe(source(cloud, "look/nowhere.jpg"), target(cloud, "look/free.webp")))

    done = ask(pointed)

    assert (done.code, done.json["preflight"]) == (0, [])


def test_a_missing_source_and_a_taken_name_are_told_at_their_lines(pointed: Desk, cloud: Cloud) -> None:
    cloud.remote.put("look/taken.webp", b"theirs")
    document = recipe(source(cloud, "look/nowhere.jpg"), target(cloud, "look/taken.webp"))
    pointed.write(NAME, json.dumps(json.loads(document), indent=1))

    done = ask(pointed, "--preflight")

    assert done.code == 5
    assert verdicts(done) == [("input", "wrong"), ("output_target", "wrong")]
    assert "file 'look/nowhere.jpg': there is no such file" in done.err
    assert "the name is taken, and nothing is overwritten" in done.err
    assert "look.recipe.json:3:" in done.err
    assert cloud.remote.get("look/taken.webp") == b"theirs"


def test_wrong_credentials_are_told_before_anything_is_bought(pointed: Desk, cloud: Cloud) -> None:
    pointed.write(NAME, recipe(upload(), target(cloud, "look/never.webp")))

    done = ask(replace(pointed, more={**pointed.more, **cloud.wrong}), "--preflight")

    assert done.code == 5
    assert verdicts(done) == [("output_target", "wrong")]
    for value in cloud.wrong.values():
        assert value.startswith("{") or value not in done.out + done.err


def test_a_bucket_that_is_not_there_is_named(pointed: Desk, cloud: Cloud) -> None:
    holder = HOLDERS.get(cloud.remote.provider)
    changed = {holder: "nobodys-bucket"} if holder else {"host": "127.0.0.1", "port": 1}
    pointed.write(NAME, recipe(upload(), target(cloud, "x.webp", **changed)))

    done = ask(pointed, "--preflight")

    assert done.code == 5
    assert verdicts(done) == [("output_target", "wrong")]
    assert holder is None or "nobodys-bucket" in done.err


def test_changed_work_onto_its_own_earlier_result_says_so_and_isnt_bought(pointed: Desk, cloud: Cloud) -> None:
    pointed.write(NAME, recipe(upload(), target(cloud, "held/one.webp")))
    first = ask(pointed, command="run")
    stored = cloud.remote.get("held/one.webp")
    pointed.write(NAME, recipe(upload(), target(cloud, "held/one.webp"), quality=40))

    planned, second = ask(pointed), ask(pointed, command="run")

    assert first.code == 0, first.err
    (job,) = planned.json["jobs"]
    assert (job["action"], planned.code) == ("run", 0)
    assert "file 'held/one.webp' holds what an earlier run delivered, and a taken name is refused" in job["reason"]
    assert (second.code, second.json["summary"]["blocked"]) == (6, 1)
    assert "nothing was bought" in second.err
    assert cloud.remote.get("held/one.webp") == stored


def test_once_it_was_removed_there_the_changed_work_is_done(pointed: Desk, cloud: Cloud) -> None:
    pointed.write(NAME, recipe(upload(), target(cloud, "freed/one.webp")))
    first = ask(pointed, command="run")
    cloud.remote.remove("freed/one.webp")
    pointed.write(NAME, recipe(upload(), target(cloud, "freed/one.webp"), quality=40))

    second = ask(pointed, command="run")

    assert (first.code, second.code, second.json["summary"]["succeeded"]) == (0, 0, 1), second.err
    assert (cloud.remote.get("freed/one.webp") or b"")[:4] == b"RIFF"


def test_who_cant_see_that_a_name_is_free_is_told_which_right_it_takes(examples: Desk) -> None:
    with strict_s3() as bucket:
        shell = {"S3_ID": ACCESS_ID, "S3_SECRET": SECRET}
        strict = Cloud(remote=bucket.remote, sets={}, shell=shell, wrong={})
        desk = pointed_at(examples, strict)
        desk.write(NAME, recipe(upload(), target(strict, "held/one.webp")))
        first = ask(desk, command="run")
        bucket.remote.remove("held/one.webp")
        desk.write(NAME, recipe(upload(), target(strict, "held/one.webp"), quality=40))
        blind = ask(desk, command="run")
        bucket.may_list = True
        seen = ask(desk, command="run")

    assert (first.code, blind.code, blind.json["summary"]["blocked"]) == (0, 6, 1), first.err
    assert "let the credentials look (runner doctor --policy prints the rights)" in blind.err
    assert (seen.code, bucket.objects["held/one.webp"][:4]) == (0, b"RIFF"), seen.err


def test_two_items_with_one_name_at_a_provider_are_found_before(desk: Desk) -> None:
    desk.write("a.jpg", PICTURE)
    desk.write("b.jpg", PICTURE + b"\n")
    secret = {"accesskeyid": "ID", "secretaccesskey": {"env": "S3"}}
    bucket = {"type": "amazons3", "parameters": {"bucket": "b", "file": "same.webp"}, "credentials": secret}
    desk.write(
        "two.recipe.json", recipe({"type": "upload", "source": "{item.path}"}, bucket, foreach={"files": "*.jpg"})
    )

    done = desk.runner("plan", "two.recipe.json")

    assert done.code == 5
    assert "two[a.jpg], two[b.jpg] would all be stored as Amazon S3, bucket 'b', file 'same.webp'" in done.err


def test_equal_work_under_two_addresses_is_stored_once_and_no_clash(desk: Desk) -> None:
    desk.write("a.jpg", PICTURE)
    desk.write("b.jpg", PICTURE)
    secret = {"accesskeyid": "ID", "secretaccesskey": {"env": "S3"}}
    bucket = {"type": "amazons3", "parameters": {"bucket": "b", "file": "same.webp"}, "credentials": secret}
    given = {"type": "upload", "source": "{item.path}", "filename": "one"}
    desk.write("two.recipe.json", recipe(given, bucket, foreach={"files": "*.jpg"}))

    assert desk.runner("plan", "two.recipe.json").code == 0


OPEN = '[local]\nallow_private = ["127.0.0.0/8"]\n'


def test_a_source_that_a_runs_own_server_wont_fetch_is_wrong_and_its_signature_not_shown(desk: Desk) -> None:
    with web({"/a.jpg": PICTURE}) as base:
        source = f"{base}/a.jpg?sig=canary-of-preflight"
        body = {"input": [{"source": source}], "conversion": [{"target": "webp"}]}
        desk.write("a.recipe.json", f"{json.dumps(body)[:-1]}\n}}")
        closed, run = desk.runner("plan", ".", "--preflight"), desk.runner("run", ".")
        desk.write("runner.toml", OPEN)
        opened = desk.runner("plan", ".", "--preflight", "--retry-failed")

    assert closed.code == 5
    assert f"x a  {base}/a.jpg?***: 127.0.0.1 is in a private or reserved network" in closed.out
    assert all("allow_private in [local] of runner.toml" in done.err for done in (closed, run))
    assert "canary" not in closed.out + closed.err + run.out + run.err
    assert "Preflight: 1 fine." in opened.out


def test_remote_sources_are_looked_at_too_and_text_says_what_is_wrong(desk: Desk) -> None:
    desk.write("runner.toml", OPEN)
    with web({"/a.jpg": PICTURE}) as base:
        for name, path in (("good", "a.jpg"), ("gone", "b.jpg")):
            body = {"input": [{"source": f"{base}/{path}"}], "conversion": [{"target": "webp"}]}
            desk.write(f"{name}.recipe.json", json.dumps(body))
        done = desk.runner("plan", ".", "--preflight")

    assert done.code == 5
    assert "Preflight: 1 fine, 1 wrong." in done.out
    assert f"x gone  {base}/b.jpg: its server answers 404 Not Found" in done.out


def test_a_source_that_is_a_secret_isnt_shown(desk: Desk) -> None:
    desk.write("runner.toml", OPEN)
    with web({}) as base:
        body = {"input": [{"source": {"env": "SIGNED"}}], "conversion": [{"target": "webp"}]}
        desk.write("secret.recipe.json", json.dumps(body))
        signed = replace(desk, more={**desk.more, "SIGNED": f"{base}/x?token=canary-of-preflight"})
        done = signed.runner("plan", "secret.recipe.json", "--preflight", "--format", "json")

    assert done.code == 5
    assert "a secret source: its server answers 404" in done.err
    assert "canary" not in done.out + done.err


def test_a_provider_nobody_here_serves_is_wrong_for_the_local_server(desk: Desk) -> None:
    token = {"type": "youtube", "parameters": {}, "credentials": {"token": {"env": "T"}}}
    desk.write(NAME, recipe(upload(), token))
    desk.write("recipes/pictures/mountains.jpg", PICTURE)

    done = ask(replace(desk, more={**desk.more, "T": "t"}), "--preflight")

    assert done.code == 5
    assert "This server doesn't serve YouTube" in done.err

"""A canary in every place where a secret may stand. It must turn up nowhere: no output, no file, no process list."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.acceptance.command_line import Desk, Done, png, serving, web
from tests.execute.middleman import Refusal, between

CANARY = "canary7f3a91"
URL, GONE, CALLBACK, IN_ENV, IN_FILE, LITERAL, KEY = CANARIES = tuple(
    f"{kind}-{CANARY}" for kind in ("url", "gone", "callback", "env", "file", "literal", "api-key")
)

RECIPES = {
    "works": """
callback = { env = "CALLBACK" }
input = [{ type = "remote", source = { env = "PICTURE" } }]
conversion = [{ target = "webp", options = { width = 10, download_password = { env = "PASSWORD" } } }]
""",
    "file": """
download_passwords = [{ file = "password.txt" }]
input = [{ type = "upload", source = "a.png" }]
conversion = [{ target = "webp" }]
""",
    "gone": """
input = [{ type = "remote", source = { env = "GONE" } }]
conversion = [{ target = "webp" }]
""",
    "cloud": """
input = [{ type = "cloud", source = "amazons3", parameters = { bucket = "b", file = "f" },
           credentials = { accesskeyid = "id", secretaccesskey = { env = "PASSWORD" } } }]
conversion = [{ target = "webp" }]
""",
    "unset": """
download_passwords = [{ env = "NEVER_SET" }]
input = [{ type = "upload", source = "a.png" }]
conversion = [{ target = "png" }]
""",
}


@pytest.fixture
def project(desk: Desk) -> Iterator[Desk]:
    with web({"/a.png": png()}) as base:
        desk.write("a.png", png(color="red"))
        desk.write("password.txt", f"{IN_FILE}\n")
        desk.write("runner.toml", '[local]\nallow_private = ["127.0.0.0/8"]\n')
        for name, text in RECIPES.items():
            desk.write(f"recipes/{name}.recipe.toml", text.replace("password.txt", "../password.txt"))
        for path in (desk.folder / "recipes").iterdir():
            path.write_text(path.read_text().replace('"a.png"', '"../a.png"'))
        more = {
            "PICTURE": f"{base}/a.png?sig={URL}",
            "GONE": f"{base}/gone.png?sig={GONE}",
            "CALLBACK": f"{base}/hook?sig={CALLBACK}",
            "PASSWORD": IN_ENV,
        }
        yield Desk(folder=desk.folder, home=desk.home, more=more)


def leaks(folder: Path, *, allowed: tuple[Path, ...] = ()) -> dict[str, list[str]]:
    """The canaries in all files below `folder`, journals included; what the user wrote there aside."""
    found: dict[str, list[str]] = {}
    for path in folder.rglob("*"):
        if path.is_file() and path not in allowed:
            content = path.read_bytes()
            if CANARY.encode() in content:
                found[path.name] = [one for one in CANARIES if one.encode() in content]
    return found


def silent(*ended: Done) -> bool:
    return all(CANARY not in done.out + done.err for done in ended)


def test_no_command_says_a_secret_and_no_file_keeps_one(project: Desk) -> None:
    said = [project.runner("check", "recipes", "-v"), project.runner("compile", "recipes", "--format", "json")]
    said += [project.runner("plan", "recipes", "-v"), project.runner("plan", "recipes", "--format", "json")]
    report = project.runner("run", "recipes", "-v", "--format", "json")
    said += [report, project.runner("run", "recipes", "-v"), project.runner("plan", "recipes", "-v")]
    said += [project.runner("log", "last"), project.runner("log", "--format", "json")]
    said += [project.runner("log", report.json["run_id"], "--format", "json")]
    said += [project.runner("status", "recipes", "--offline"), project.runner("status", "recipes", "--format", "json")]

    status = {job["address"]: job["status"] for job in report.json["jobs"]}
    assert status == {"works": "succeeded", "file": "succeeded", "gone": "failed", "cloud": "failed", "unset": "failed"}
    assert "NEVER_SET" in report.err
    assert silent(*said)
    with Image.open(project.folder / "recipes/out/works/a.webp") as made:
        assert made.format == "WEBP"
    assert leaks(project.folder, allowed=(project.folder / "password.txt",)) == {}
    assert (project.home / ".local/state/conversion-runner/seal.key").stat().st_mode & 0o777 == 0o600


def test_the_payload_that_compile_prints_holds_references(project: Desk) -> None:
    jobs = {job["address"]: job["payload"] for job in project.runner("compile", "recipes").json}

    assert jobs["works"]["callback"] == {"env": "CALLBACK"}
    assert jobs["works"]["input"][0]["source"] == {"env": "PICTURE"}
    assert jobs["cloud"]["input"][0]["credentials"]["secretaccesskey"] == {"env": "PASSWORD"}


CONVERT = '[[input]]\nsource = "https://x.org/a"\n[[conversion]]\ntarget = "webp"\n'
LITERALS = {
    "cloud": (
        '[[input]]\ntype = "cloud"\nsource = "amazons3"\nparameters = { bucket = "b", file = "f" }\n'
        f'credentials = {{ accesskeyid = "a", secretaccesskey = "{LITERAL}" }}\n[[conversion]]\ntarget = "webp"\n'
    ),
    "passwords": f'download_passwords = ["{LITERAL}"]\n{CONVERT}',
    "any option": f'{CONVERT}options = {{ password = "{LITERAL}" }}\n',
    "metadata": f'{CONVERT}metadata = {{ token = "{LITERAL}" }}\n',
    "constant": f'{CONVERT}options = {{ width = 10 }}\n[vars]\npassword = "{LITERAL}"\n',
    "profile": f'{CONVERT}[profile.x.vars]\npassword = "{LITERAL}"\n',
    "option": f'{CONVERT}options = {{ download_password = "{LITERAL}" }}\n',
    "misspelt": (
        f'{CONVERT}[[conversion.output_target]]\ntype = "ftp"\nparameters = {{ host = "h", file = "f" }}\n'
        f'credentials = {{ username = "u", passwort = "{LITERAL}" }}\n'
    ),
    "half a line": f'[[input]]\nsource = "https://x.org/a"\npassword = "{LITERAL}\n',
}


@pytest.mark.parametrize("text", LITERALS.values(), ids=LITERALS)
def test_a_literal_secret_is_an_error_that_hides_it(desk: Desk, text: str) -> None:
    desk.write("a.recipe.toml", text)

    said = [desk.runner(command, ".") for command in ("check", "plan", "run", "compile")]
    report = desk.runner("check", ".", "--format", "json")

    assert [done.code for done in said] == [5] * 4
    assert silent(*said, report)
    assert all(problem["line"] for problem in report.json["problems"])
    assert leaks(desk.folder, allowed=(desk.folder / "a.recipe.toml",)) == {}


def test_the_key_of_the_account_is_sent_and_told_to_nobody(desk: Desk, tmp_path: Path) -> None:
    desk.write("pics/a.png", png(size=(1500, 1500)))
    desk.write("bad.png", "no picture")
    desk.write("a.recipe.toml", 'input = {type="upload", source="pics/a.png"}\nconversion = {target="avif"}\n')
    desk.write("b.recipe.toml", 'input = {type="upload", source="bad.png"}\nconversion = {target="webp"}\n')
    server = Desk(folder=desk.folder, home=desk.home, more={"RUNNER_SERVE_KEY": KEY})
    client = Desk(folder=desk.folder, home=desk.home, more={"API2CONVERT_API_KEY": KEY})
    with serving(server, "--state", tmp_path / "server") as ready:
        client = Desk(
            folder=desk.folder, home=desk.home, more={**client.more, "API2CONVERT_BASE_URL": ready["base_url"]}
        )
        seen: set[bytes] = set()
        with client.start("run", ".", "-v", "--format", "json") as process:
            while process.poll() is None:
                seen |= set(command_lines())
            out, err = process.communicate()
        wrong = Desk(folder=desk.folder, home=desk.home, more={**client.more, "API2CONVERT_API_KEY": f"wrong-{KEY}"})
        refused = wrong.runner("run", ".", "--retry-failed", "-v")
        told = [client.runner("status", "."), client.runner("log", "last"), refused]

    assert json.loads(out)["summary"]["succeeded"] == 1
    assert CANARY not in out + err
    assert refused.code == 3
    assert silent(*told)
    assert any(b"runner" in line for line in seen)
    assert not any(CANARY.encode() in line for line in seen)
    assert leaks(desk.folder) == {}
    assert leaks(tmp_path / "server") == {}


class Parrot:
    """Repeats in its answers what it was told, or told itself, in confidence."""

    def __init__(self) -> None:
        self.secrets = [KEY, URL]

    def __call__(self, method: str, path: str, document: Any) -> Any:
        if not path.startswith("/jobs") or not isinstance(document, dict):
            return [self(method, f"{path}/*", one) for one in document] if path == "/jobs" else document
        self.secrets.append(document.get("token") or KEY)
        said = f"told {KEY} {document.get('token')}"
        if method == "PATCH" and document["conversion"][0]["target"] == "png":
            return Refusal(402, {"message": said, "errors": {"credits": said}})
        signed = [one | {"uri": f"{one['uri']}?sig={URL}"} for one in document.get("output", [])]
        spoken = [{"source": "input", "id_source": "", "code": 1, "message": f"{said}, {signed}"}]
        failed = document["status"]["code"] == "failed"
        return document | {"output": signed, "errors" if failed else "warnings": spoken}


def test_what_the_server_repeats_of_our_secrets_and_its_own_is_told_to_nobody(desk: Desk, tmp_path: Path) -> None:
    desk.write("a.png", png())
    desk.write("bad.png", "no picture")
    for name, source, target in (("a", "a", "webp"), ("b", "bad", "webp"), ("c", "a", "png")):
        text = f'input = {{type="upload", source="{source}.png"}}\nconversion = {{target="{target}"}}\n'
        desk.write(f"{name}.recipe.toml", text)
    server = Desk(folder=desk.folder, home=desk.home, more={"RUNNER_SERVE_KEY": KEY})
    with serving(server, "--state", tmp_path / "server") as ready, between(ready["base_url"]) as man:
        man.change = parrot = Parrot()
        shell = replace(desk, more={"API2CONVERT_API_KEY": KEY, "API2CONVERT_BASE_URL": man.base_url})
        ran = shell.runner("run", "a.recipe.toml", "b.recipe.toml", "-v")
        refused = shell.runner("run", "c.recipe.toml", "-v")
        told = [shell.runner(*words) for words in (("plan", "."), ("run", "."), ("status", "."), ("log", "last"))]
        told += [shell.runner("log", "last", "--format", "json"), shell.runner("plan", ".", "--format", "json")]

    assert (ran.code, refused.code) == (6, 4)
    assert "told *** ***" in ran.err
    assert "402 told *** ***" in refused.err
    said = "".join(done.out + done.err for done in (ran, refused, *told))
    kept = b"".join(path.read_bytes() for path in (desk.folder / ".runner").rglob("*") if path.is_file())
    assert len(set(parrot.secrets)) == 5
    assert [one for one in parrot.secrets if one in said or one.encode() in kept] == []


def command_lines() -> Iterator[bytes]:
    """What `ps` shows to everybody on this machine."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                yield (folder / "cmdline").read_bytes()
            except OSError:  # it has ended meanwhile
                continue


def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(desk: Desk) -> None:
    desk.write("a.png", png())
    desk.write("a.recipe.toml", 'input = {type="upload", source="a.png"}\nconversion = {target="webp"}\n')
    client = Desk(folder=desk.folder, home=desk.home, more={"API2CONVERT_API_KEY": f"two\nlines {KEY}"})

    done = client.runner("run", ".")

    assert done.code == 3
    assert silent(done)

"""The API's official client, as it comes from the package index, against our server by base URL alone."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from api2convert import (
    Api2Convert,
    AuthenticationError,
    CloudInput,
    CloudProvider,
    ConversionFailedError,
    NotFoundError,
    OutputTarget,
    PaymentRequiredError,
    RateLimitError,
    SignatureVerificationError,
    ValidationError,
)
from api2convert.errors import ApiError
from PIL import Image

from tests.server.served import KEY, Served, serving

SECRET = "the secret of the callbacks"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("sdk")
    (folder / "secret").write_text(SECRET)
    with serving(folder / "state", "--workers", "2", "--callback-secret-file", str(folder / "secret")) as one:
        yield one


Clients = Callable[..., Api2Convert]


@pytest.fixture
def client_of() -> Iterator[Clients]:
    opened: list[Api2Convert] = []

    def make(served: Served, key: str = KEY, **options: Any) -> Api2Convert:
        client = Api2Convert(
            key, base_url=served.base_url, poll_interval=0.5, poll_timeout=60, **{"max_retries": 0, **options}
        )
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.close()


@pytest.fixture
def client(served: Served, client_of: Clients) -> Api2Convert:
    return client_of(served)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a picture.png"
    Image.new("RGB", (64, 32), (200, 30, 30)).save(path)
    return path


def size_of(content: bytes) -> tuple[str | None, tuple[int, int]]:
    with Image.open(io.BytesIO(content)) as opened:
        return opened.format, opened.size


def test_a_path_is_converted_and_saved_under_its_name(client: Api2Convert, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()

    result = client.convert(str(picture), "jpg", {"width": 32, "quality": 80})
    saved = Path(str(result.save(str(tmp_path / "out"))))

    assert saved.name == "a picture.jpg"
    assert size_of(saved.read_bytes()) == ("JPEG", (32, 16))


def test_a_stream_is_converted(client: Api2Convert, picture: Path) -> None:
    result = client.convert(io.BytesIO(picture.read_bytes()), "webp", filename="stream.png")

    assert size_of(result.contents()) == ("WEBP", (64, 32))
    assert result.output().filename == "stream.webp"


def test_a_url_is_converted(client: Api2Convert, picture: Path, web: Any) -> None:
    web.pages["/photo.png"] = (200, {"Content-Type": "image/png"}, picture.read_bytes())

    result = client.convert(f"{web.url}/photo.png", "gif")

    assert size_of(result.contents()) == ("GIF", (64, 32))


def test_a_staged_job_takes_uploads_and_inputs_then_starts_and_is_waited_for(
    client: Api2Convert, picture: Path, web: Any
) -> None:
    web.pages["/b.png"] = (200, {}, picture.read_bytes())
    job = client.jobs.create(
        {"process": False, "conversion": [{"target": "jpg", "options": {"allow_multiple_outputs": True}}]}
    )

    uploaded = client.jobs.upload(job, str(picture))
    added = client.jobs.add_input(job.id, {"type": "remote", "source": f"{web.url}/b.png"})
    client.jobs.start(job.id)
    done = client.jobs.wait(job.id)

    assert done.status.code == "completed"
    assert [uploaded.type, added.type] == ["upload", "remote"]
    assert [one.filename for one in client.jobs.outputs(job.id)] == ["a picture.jpg", "b.jpg"]
    assert client.jobs.list(status="completed")[0].id == job.id


def test_a_create_with_an_idempotency_key_makes_one_job(client: Api2Convert) -> None:
    body = {"process": False, "conversion": [{"target": "jpg"}]}

    first, second = client.jobs.create(body, "once"), client.jobs.create(body, "once")

    assert first.id == second.id


def test_a_job_is_canceled(client: Api2Convert) -> None:
    job = client.jobs.create({"process": False, "conversion": [{"target": "jpg"}]})

    client.jobs.cancel(job.id)

    assert client.jobs.get(job.id).is_canceled()


def test_a_protected_result_opens_with_its_password_only(client: Api2Convert, picture: Path) -> None:
    result = client.convert(str(picture), "jpg", download_password="hunter2")

    assert size_of(result.contents())[0] == "JPEG"
    with pytest.raises(AuthenticationError):
        client.download(result.output(), "wrong").contents()
    with pytest.raises(AuthenticationError):
        client.download(result.output()).contents()


@pytest.mark.parametrize(
    "source",
    [
        CloudInput.amazon_s3(bucket="b", file="a.jpg", accesskeyid="id", secretaccesskey="a secret nobody may see"),
        CloudInput.azure(container="c", file="a.jpg", accountname="n", accountkey="a secret nobody may see"),
        CloudInput.ftp(host="127.0.0.1:9", file="a.jpg", username="u", password="a secret nobody may see"),
        CloudInput.google_cloud(projectid="p", bucket="b", file="a.jpg", keyfile="a secret nobody may see"),
    ],
    ids=["amazons3", "azure", "ftp", "googlecloud"],
)
def test_a_cloud_input_is_accepted_and_its_failure_is_an_input_error_without_the_secret(
    client: Api2Convert, source: CloudInput
) -> None:
    with pytest.raises(ConversionFailedError) as failed:
        client.convert(source, "jpg")

    job = failed.value.job
    assert job.errors[0].source == "input"
    assert job.errors[0].code == 99
    assert job.input[0].status == "failed"
    assert "nobody may see" not in json.dumps(job.raw)


def test_an_output_target_is_accepted_and_never_shows_its_secret(client: Api2Convert, picture: Path) -> None:
    target = OutputTarget.of(
        CloudProvider.FTP,
        parameters={"host": "127.0.0.1", "port": 9, "file": "a.jpg"},
        credentials={"username": "u", "password": "a secret nobody may see"},
    )

    job = client.convert_async(str(picture), "jpg", output_targets=[target])
    done = client.jobs.wait(job.id, throw_on_failure=False)

    assert done.status.code == "failed"
    assert "nobody may see" not in json.dumps(done.raw)


def test_presets_are_made_used_changed_and_deleted(client: Api2Convert, picture: Path) -> None:
    made = client.presets.create({"name": "tiny web", "target": "jpg", "options": {"width": 8}, "scope": "private"})
    preset_id = str(made.id)

    result = client.convert(str(picture), "jpg", {"preset": preset_id})
    changed = client.presets.update(preset_id, {"name": "small web", "options": {"width": 16}})

    assert size_of(result.contents()) == ("JPEG", (8, 4))
    assert client.presets.get(preset_id).options == changed.options == {"width": 16}
    assert [one.id for one in client.presets.list(category="image", target="jpg", filter="web,SMALL")] == [preset_id]
    client.presets.delete(preset_id)
    with pytest.raises(NotFoundError):
        client.presets.get(preset_id)


def test_statistics_count_jobs_credits_and_bytes(client: Api2Convert, picture: Path) -> None:
    client.convert(str(picture), "jpg")
    now = datetime.now(UTC)

    rows = [
        client.stats.day(f"{now:%Y-%m-%d}")[-1],
        client.stats.month(f"{now:%Y-%m}", "single")[-1],
        client.stats.year(f"{now:%Y}")[-1],
    ]

    for row in rows:
        assert all(isinstance(value, str) for value in row.values())
        assert int(row["completed_jobs"]) >= 1
        assert int(row["conversion_minutes"]) >= 1
        assert int(row["input_traffic"]) >= picture.stat().st_size
    with pytest.raises(ValidationError):
        client.stats.day("yesterday")


def test_options_of_a_target_are_discovered(client: Api2Convert) -> None:
    assert client.options("jpg")["quality"]["maximum"] == 100
    assert client.options("jpg", "audio") == {}
    assert client.conversions.list(page=10_000) == []


def test_contracts_show_what_is_left_and_used_up_credits_are_a_typed_error(
    tmp_path: Path, picture: Path, client_of: Clients
) -> None:
    with serving(tmp_path / "state", "--contract", "prepaid:2") as served:
        client = client_of(served)
        before = client.contracts.get()
        client.convert(str(picture), "jpg")
        client.convert(str(picture), "webp")
        after = client.contracts.get()
        with pytest.raises(PaymentRequiredError):
            client.convert(str(picture), "gif")

    assert (before["credits_remaining"], after["credits_remaining"]) == (2, 0)
    assert after["contracts"][0]["credits_bought"] == 2


def test_too_many_jobs_at_once_are_a_typed_error_with_a_wait(tmp_path: Path, client_of: Clients) -> None:
    with serving(tmp_path / "state", "--concurrency", "1") as served, blocking_page() as url:
        client = client_of(served)
        job = client.convert_async(url, "jpg")
        with pytest.raises(RateLimitError) as limited:
            client.convert_async(url, "jpg")
        client.jobs.cancel(job.id)
        client.convert_async(url, "jpg")

    assert limited.value.retry_after == 1


def test_errors_are_typed_and_carry_a_request_id(client: Api2Convert, served: Served, client_of: Clients) -> None:
    with pytest.raises(ValidationError, match="did you mean 'jpg'") as invalid:
        client.jobs.create({"conversion": [{"target": "jpgg"}]})
    with pytest.raises(NotFoundError):
        client.jobs.get("no-such-job")
    with pytest.raises(AuthenticationError, match="Invalid api key"):
        client_of(served, "not the key").jobs.list()
    job = client.jobs.create({"process": False, "conversion": [{"target": "jpg"}]})
    client.jobs.cancel(job.id)
    with pytest.raises(ApiError) as late:
        client.jobs.start(job.id)

    assert invalid.value.request_id
    assert late.value.status_code == 409


def test_a_callback_is_signed_so_that_its_verifier_accepts_it(client: Api2Convert, picture: Path) -> None:
    with receiver() as (url, received):
        job = client.convert_async(str(picture), "jpg", callback=url)
        client.jobs.wait(job.id)
        assert received.full.wait(20)

    codes = []
    for body, signature in received.bodies:
        event = Api2Convert.webhooks().construct_event(body, signature, SECRET)
        assert event.job.id == job.id
        codes.append(event.job.status.code)
        with pytest.raises(SignatureVerificationError):
            Api2Convert.webhooks().construct_event(body + b" ", signature, SECRET)
    assert codes[-1] == "completed"


class Received:
    def __init__(self) -> None:
        self.bodies: list[tuple[bytes, str]] = []
        self.full = threading.Event()


@contextmanager
def receiver() -> Iterator[tuple[str, Received]]:
    """Takes callbacks; `full` is set when one says that its job has completed."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.bodies.append((body, self.headers.get("X-Oc-Signature", "")))
            self.send_response(204)
            self.end_headers()
            if json.loads(body)["status"]["code"] == "completed":
                received.full.set()

        def log_message(self, *_: object) -> None:
            pass

    with listening(Handler) as url:
        yield url, received


@contextmanager
def blocking_page() -> Iterator[str]:
    """A page that doesn't answer before the context ends."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            over.wait(60)

        def log_message(self, *_: object) -> None:
            pass

    with listening(Handler) as url:
        yield url
        over.set()


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/a.jpg"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

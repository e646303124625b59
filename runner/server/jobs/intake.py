"""What clients ask for becomes records: checked, defaults filled in, secrets taken out.

Nothing here reads a file or the network; what an input needs fetched is only marked `downloading`. `hashed` gives the
hash of a password, which was made before: it takes its time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from runner.server.answers import conflict, invalid
from runner.server.jobs.fields import Fields, fields_of
from runner.server.jobs.fixed import Secrets, check_conversion, check_input, check_job
from runner.server.jobs.ids import new_id, new_token
from runner.server.jobs.limits import KNOWN, MOST_OUTPUT_TARGETS, MOST_PASSWORDS, check_conversion_count
from runner.server.jobs.passwords import HashPassword
from runner.server.jobs.receivers import RefusedReceiver, checked_receiver
from runner.server.jobs.record import Conversion, Input, Job, timestamp
from runner.server.jobs.targets import FindPreset, choose_target, with_preset
from runner.wire.names import clean_name
from runner.wire.status import StatusCode
from runner.wire.values import Json, JsonObject, as_object

INPUT_TYPES = ("remote", "upload", "base64", "cloud", "gdrive_picker", "input_id", "output")
ENGINES = ("auto", "file", "video", "website", "screenshot", "screenshot_pdf", "zip")

_MOST_TEXT = 65_000
_MOST_NAME = 255
_MOST_SOURCE = 16 * 1024 * 1024
_MOST_ADDRESS = 65_536
_PASSWORD = re.compile(r"[ -~]*\Z")


@dataclass(frozen=True, slots=True)
class Intake:
    """Records made from a request, with what must not be in a record: credentials by part."""

    job: Job
    credentials: dict[str, JsonObject] = field(default_factory=dict)


def new_job(body: Json, *, account: str, key_id: str, now: float, presets: FindPreset, hashed: HashPassword) -> Intake:
    """A job from the body of `POST /jobs`, its inputs not admitted yet; raises ApiError 400 with every problem."""
    problems: dict[str, str] = {}
    fields = Fields(body, "", problems)
    at = timestamp(now)
    credentials: dict[str, JsonObject] = {}
    job_id = new_id()
    conversions, inputs = fields.array("conversion"), fields.array("input")
    check_conversion_count(len(conversions))
    process = fields.flag("process", default=True)
    job = Job(
        id=job_id,
        token=new_token(job_id),
        account=account,
        key_id=key_id,
        created_at=at,
        modified_at=at,
        process=process,
        self_starting=process,
        fail_on_input_error=fields.flag("fail_on_input_error", default=True),
        fail_on_conversion_error=fields.flag("fail_on_conversion_error", default=True),
        notify_status=fields.flag("notify_status", default=False),
        callback=_callback(fields, ""),
        limits=_limits(fields, {}) if "limits" in fields else {},
        passwords=_passwords(fields, hashed) if "download_passwords" in fields else (),
        inputs=tuple([_input(one, at, credentials) for one in inputs]),
        conversions=tuple([_conversion(one, credentials, presets, hashed) for one in conversions]),
        history=((StatusCode.INCOMPLETE, at),),
    )
    if problems:
        raise invalid(problems)
    return Intake(job, credentials)


def patched_job(job: Job, body: Json, *, hashed: HashPassword, secrets: Secrets) -> Job:
    """`job` with the fields of a PATCH; raises ApiError 400 with every problem."""
    problems: dict[str, str] = {}
    fields = Fields(body, "", problems)
    check_job(job, fields, secrets)
    process = fields.flag("process", default=job.process)
    patched = replace(
        job,
        process=process,
        self_starting=job.self_starting and process,
        fail_on_input_error=fields.flag("fail_on_input_error", default=job.fail_on_input_error),
        fail_on_conversion_error=fields.flag("fail_on_conversion_error", default=job.fail_on_conversion_error),
        notify_status=fields.flag("notify_status", default=job.notify_status),
        callback=_callback(fields, job.callback),
        limits=_limits(fields, job.limits) if "limits" in fields else job.limits,
        passwords=_passwords(fields, hashed) if "download_passwords" in fields else job.passwords,
    )
    if problems:
        raise invalid(problems)
    return patched


def asks_to_start(body: Json) -> bool:
    """Whether a PATCH says `process: true`; raises ApiError 400 when it says neither true nor false."""
    problems: dict[str, str] = {}
    wanted = Fields(body, "", problems).flag("process", default=False)
    if problems:
        raise invalid(problems)
    return wanted


def has_settings(body: Json) -> bool:
    """Whether a PATCH asks for more than to start."""
    return isinstance(body, dict) and any(name in body for name in _SETTINGS)


def rotates_passwords(body: Json) -> bool:
    """Whether a PATCH sets the passwords of downloads and nothing else: that is of use when a job has ended, too."""
    return isinstance(body, dict) and body.keys() == {"download_passwords"}


def new_conversions(
    body: Json, *, presets: FindPreset, hashed: HashPassword
) -> tuple[list[Conversion], dict[str, JsonObject]]:
    """Conversions and their credentials, from an object or an array of them."""
    problems: dict[str, str] = {}
    credentials: dict[str, JsonObject] = {}
    entries = _some(body, "conversion", problems)
    check_conversion_count(len(entries))
    made = [_conversion(one, credentials, presets, hashed) for one in entries]
    if problems:
        raise invalid(problems)
    return made, credentials


def new_inputs(body: Json, *, now: float) -> tuple[list[Input], dict[str, JsonObject]]:
    """Inputs and their credentials, from an object or an array of them."""
    problems: dict[str, str] = {}
    credentials: dict[str, JsonObject] = {}
    entries = _some(body, "input", problems)
    made = [_input(one, timestamp(now), credentials) for one in entries]
    if problems:
        raise invalid(problems)
    return made, credentials


def patched_conversion(
    conversion: Conversion, body: Json, *, presets: FindPreset, hashed: HashPassword, secrets: Secrets
) -> Conversion:
    """`conversion` with other options or metadata; the options given replace those given before, the password aside."""
    problems: dict[str, str] = {}
    fields = Fields(body, "", problems)
    check_conversion(conversion, fields, secrets)
    if "options" in fields:
        given, password = _options(fields, hashed)
        given = with_preset(conversion.category, conversion.target, given, presets, fields)
        chosen = choose_target(conversion.category, conversion.target, given, fields)
        password = conversion.password if password is None else password
        conversion = replace(conversion, given=given, options=chosen.options, password=password)
    if "metadata" in fields:
        conversion = replace(conversion, metadata=fields.table("metadata"))
    if problems:
        raise invalid(problems)
    return conversion


def patched_input(entry: Input, body: Json, *, now: float) -> tuple[Input, JsonObject]:
    """`entry` with other parameters or options, and the credentials given for it."""
    problems: dict[str, str] = {}
    fields = Fields(body, "", problems)
    check_input(entry, fields)
    credentials = fields.table("credentials")
    parameters = {**entry.parameters, **fields.table("parameters")}
    if entry.type == "cloud" and entry.status == "ready" and parameters != entry.parameters:
        raise conflict("The input's file has come already: delete this input, and add one for the other file")
    entry = replace(
        entry,
        parameters=parameters,
        options={**entry.options, **_input_options(fields)},
    )
    if "filename" in fields:
        entry = replace(entry, filename=clean_name(fields.text("filename", most=_MOST_NAME)))
    if problems:
        raise invalid(problems)
    sealed = entry.sealed or bool(credentials)
    if entry.type == "cloud" and entry.status == "failed" and (credentials or "parameters" in fields):
        entry = replace(entry, status="downloading", error=None)  # it was looked for in the wrong place, or as nobody
    return replace(entry, sealed=sealed, modified_at=timestamp(now)), credentials


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputPatch:
    """`name` is the new one, with or without the extension; `password` is hashed, None leaves it as it is."""

    name: str
    password: str | None


def output_patch(body: Json, *, hashed: HashPassword) -> OutputPatch:
    problems: dict[str, str] = {}
    fields = Fields(body, "", problems)
    name = fields.text("filename", most=_MOST_NAME)
    password = _download_password(fields, hashed) if "download_password" in fields else None
    if problems:
        raise invalid(problems)
    return OutputPatch(name=name, password=password)


_SETTINGS = (
    "fail_on_input_error",
    "fail_on_conversion_error",
    "notify_status",
    "callback",
    "limits",
    "download_passwords",
)


def _passwords(fields: Fields, hashed: HashPassword) -> tuple[str, ...]:
    given = fields.texts("download_passwords", most=_MOST_TEXT)
    if not all(_PASSWORD.match(one) for one in given):
        fields.wrong("download_passwords", "must be printable ASCII")
    if len(given) > MOST_PASSWORDS:
        fields.wrong("download_passwords", f"must have at most {MOST_PASSWORDS} entries")
    return () if fields.problems else tuple(map(hashed, filter(None, given)))  # "" is no password: nobody can send it


def _callback(fields: Fields, default: str) -> str:
    callback = fields.text("callback", default, most=8192)
    if callback and "callback" in fields:
        try:
            checked_receiver(callback)
        except RefusedReceiver as error:
            fields.wrong("callback", str(error).removeprefix("the callback "))
    return callback


def _limits(fields: Fields, before: JsonObject) -> JsonObject:
    """`before` with the names that are given; null takes one away.

    What is known is checked; the rest is kept as it came, as the API's free-form objects allow, and told to be none.
    """
    given_all = fields.table("limits")  # empty where it is too large
    others = {name: value for name, value in {**before, **given_all}.items() if name not in KNOWN}
    limits: JsonObject = {name: value for name, value in others.items() if value is not None}
    for part, names in KNOWN.items():
        given = fields.part("limits").part(part)
        known = {name: given.whole(name) for name in names if name in given}
        merged = {**as_object(before.get(part)), **dict(given.items()), **known}
        limits[part] = {name: value for name, value in merged.items() if value is not None}
    return limits


def _some(body: Json, what: str, problems: dict[str, str]) -> list[Fields]:
    entries = fields_of(body, "", problems)
    if not entries:
        problems["body"] = f"must be an object or an array with at least one {what}"
    return entries


def _conversion(
    fields: Fields, credentials: dict[str, JsonObject], presets: FindPreset, hashed: HashPassword
) -> Conversion:
    part_id = new_id()
    targets, secret = _output_targets(fields) if "output_target" in fields else ((), {})
    if secret:
        credentials[part_id] = secret
    category = fields.text("category", most=_MOST_NAME).strip().lower()
    target = fields.text("target", most=_MOST_NAME).strip().lower()
    given, password = _options(fields, hashed)
    if given:
        given = with_preset(category, target, given, presets, fields)
    chosen = choose_target(category, target, given, fields)
    return Conversion(
        id=part_id,
        target=chosen.target,
        category=chosen.category,
        category_given=bool(category),
        given=given,
        options=chosen.options,
        metadata=fields.table("metadata"),
        output_target=targets,
        password=password or "",
        sealed=bool(secret),
    )


def _few(fields: Fields, name: str, *, most: int) -> list[Fields]:
    entries = fields.array(name)
    if len(entries) > most:
        fields.wrong(name, f"must have at most {most} entries")
    return entries[:most]


def _input_options(fields: Fields) -> JsonObject:
    """The options as given, but for the position among the inputs: a number, however it was written."""
    given = fields.table("options")
    if "position" in fields.part("options"):
        given["position"] = fields.part("options").whole("position")
    return given


def _output_targets(fields: Fields) -> tuple[tuple[JsonObject, ...], JsonObject]:
    """Output targets without their credentials, and the credentials by place."""
    targets = [_output_target(one) for one in _few(fields, "output_target", most=MOST_OUTPUT_TARGETS)]
    secret: JsonObject = {str(index): given for index, (_, given) in enumerate(targets) if given}
    return tuple(target for target, _ in targets), secret


def _output_target(fields: Fields) -> tuple[JsonObject, JsonObject]:
    """An output target without its credentials, and the credentials."""
    provider = fields.text("type", most=_MOST_NAME)
    if not provider:
        fields.wrong("type", "is missing: the provider to deliver to")
    shown = {"type": provider, "status": "waiting", "parameters": fields.table("parameters"), "credentials": {}}
    return shown, fields.table("credentials")


def _options(fields: Fields, hashed: HashPassword) -> tuple[JsonObject, str | None]:
    """The options as given, without the password, and the password's hash: empty to have none, None where not given."""
    if "options" not in fields:
        return {}, None
    given = fields.table("options")
    sets_password = given.get("download_password") is not None
    password = _download_password(fields.part("options"), hashed) if sets_password else None
    given.pop("download_password", None)
    return given, password


def _download_password(fields: Fields, hashed: HashPassword) -> str:
    password = fields.text("download_password", most=_MOST_TEXT)
    if not _PASSWORD.match(password):
        fields.wrong("download_password", "must be printable ASCII")
    return hashed(password) if password else ""


def _input(fields: Fields, at: str, credentials: dict[str, JsonObject]) -> Input:
    part_id = new_id()
    kind = fields.choice("type", "remote", INPUT_TYPES)
    source = fields.text("source", most=_MOST_SOURCE if kind == "base64" else _MOST_ADDRESS).strip()
    if not source:
        fields.wrong("source", "is missing: where the input comes from")
    given = fields.table("credentials")
    if given:
        credentials[part_id] = dict(given)
    return Input(
        id=part_id,
        type=kind,
        source=source,
        status="downloading",
        engine=fields.choice("engine", "auto", ENGINES),
        filename=clean_name(fields.text("filename", most=_MOST_NAME)),
        content_type=fields.text("content_type", most=_MOST_NAME),
        options=_input_options(fields),
        parameters=fields.table("parameters"),
        sealed=bool(given),
        created_at=at,
        modified_at=at,
    )

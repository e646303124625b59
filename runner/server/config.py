"""What the server is told when it starts: values only, nothing is read from the environment here."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Literal

Network = IPv4Network | IPv6Network

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Contract:
    """What every account may do at most; a job's own `limits` only ever tighten it.

    kind         "free" has 30 credits a day (UTC), "prepaid" has `credits` in all; "monthly" is invoiced, has no end,
                 and "unlimited" is no contract at all
    concurrency  jobs of one account at the same time; 0 means any number
    """

    kind: Literal["free", "prepaid", "monthly", "unlimited"] = "unlimited"
    credits: int = 0
    concurrency: int = 0
    max_inputs: int = 1000
    max_input_bytes: int = 16 * 1024 * MIB
    max_process_time_s: int = 4 * 3600
    max_downloads: int = 10
    retention_s: float = 24 * 3600.0
    credit_minute_s: float = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class CallbackRules:
    """How callbacks are sent; the defaults are the API's where it states them.

    secret       signs every body in `X-Oc-Signature`; empty: nothing is signed
    first_*_s    the receiver's time for the first attempt, and the wait before the second; later waits double
    retries      attempts after the first; then the callback is given up
    outdated_after  attempts after which a status gives way to a later one of the same job
    rest_after   failures in a row after which a receiver is left alone for `rest_s`
    """

    secret: str = field(default="", repr=False)
    first_timeout_s: float = 3.0
    retry_timeout_s: float = 10.0
    retries: int = 10
    outdated_after: int = 3
    first_wait_s: float = 1.0
    most_wait_s: float = 300.0
    rest_after: int = 25
    rest_s: float = 30.0
    at_once: int = 32
    at_once_per_host: int = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Assumptions:
    """What the hosted API may do one way or the other; the first of each is what this server does by default.

    second_start      a start of a staged job that was started: 409, or 200 with the job as it is, or what else is said
                      before anybody looks at the job; one that starts by itself is told no other way than 200
    list              `GET /jobs` shows all jobs, those that have not ended, or none (204)
    checksum          how checksums are made; none: they are empty
    idempotency       whether `Idempotency-Key` is honoured
    delete_unstarted  an unstarted job can be deleted (204), or not (409)
    canceled          a canceled job can be read, or is gone (404)
    queued            a started job that waits for a worker says so, or that it is `processing`; old clients know no
                      `queued`
    outputs           a completed job shows its outputs at once, or a moment after its end
    """

    second_start: Literal["409", "200", "402", "422", "429"] = "409"
    list: Literal["all", "active", "none"] = "all"
    checksum: Literal["md5", "sha1", "none"] = "md5"
    idempotency: Literal["honoured", "ignored"] = "honoured"
    delete_unstarted: Literal["204", "409"] = "204"
    canceled: Literal["readable", "404"] = "readable"
    queued: Literal["queued", "processing"] = "queued"
    outputs: Literal["at-once", "late"] = "at-once"


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerConfig:
    """One server.

    state_dir      its own folder; one server per folder, which a lock enforces
    host, port     where to listen; port 0 picks a free one
    uds            listen on this UNIX socket instead; its path must fit the system's limit (107 bytes)
    api_keys       keys that are good; with none given one is made, and shown when ready
    workers        conversions at the same time; 0 means one per processor
    allow_private  networks that inputs may reach although they are private
    base_url       how clients reach this server, with "/v2"; empty means as it listens, and where that is on every
                   address, as the request names it
    fetches        remote inputs fetched at the same time
    callbacks      how callbacks are sent
    assumptions    how it behaves where nobody is sure how the hosted API does
    faults         what goes wrong on purpose, as `faults.py` reads it
    max_disk_bytes how much the files of jobs may take; 0 means as much as there is
    *_endpoint     where a cloud provider's API is: S3-compatible stores and stand-ins; empty means the real one
    seal_key       the file of the key that seals secrets of jobs, made where there is none; it belongs outside of the
                   state folder. None: they are in memory only, and a restart loses them
    storage_silence_s  how long cloud storage may say nothing before a transfer is taken up again
    upload_silence_s   how long nothing may come of an upload: it holds room on the disk, and perhaps a place
    """

    state_dir: Path
    host: str = "127.0.0.1"
    port: int = 0
    uds: Path | None = None
    api_keys: tuple[str, ...] = ()
    workers: int = 0
    allow_private: tuple[Network, ...] = ()
    base_url: str = ""
    contract: Contract = Contract()
    max_json_bytes: int = 16 * MIB
    fetches: int = 16
    callbacks: CallbackRules = CallbackRules()
    assumptions: Assumptions = Assumptions()
    faults: str = ""
    max_disk_bytes: int = 0
    seal_key: Path | None = None
    s3_endpoint: str = ""
    gcs_endpoint: str = ""
    azure_endpoint: str = ""
    storage_silence_s: float = 30.0
    upload_silence_s: float = 60.0

    @property
    def is_everywhere(self) -> bool:
        """Whether it listens on every address of the machine."""
        return self.uds is None and _is_everywhere(self.host)


@lru_cache(maxsize=8)
def _is_everywhere(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return not host

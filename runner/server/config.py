"""What the server is told when it starts: values only, nothing is read from the environment here."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

Network = IPv4Network | IPv6Network

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Contract:
    """What the account may do at most; a job's own `limits` only ever tighten it."""

    max_inputs: int = 1000
    max_input_bytes: int = 16 * 1024 * MIB
    max_process_time_s: int = 4 * 3600
    max_downloads: int = 10
    retention_s: float = 24 * 3600.0
    credit_minute_s: float = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerConfig:
    """One server.

    state_dir      its own folder; one server per folder, which a lock enforces
    host, port     where to listen; port 0 picks a free one
    uds            listen on this UNIX socket instead; its path must fit the system's limit (107 bytes)
    api_keys       keys that are good; with none given one is made, and shown when ready
    workers        conversions at the same time; 0 means one per processor
    allow_private  networks that inputs may reach although they are private
    base_url       how clients reach this server, with "/v2"; empty means as it listens
    fetches        remote inputs fetched at the same time
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

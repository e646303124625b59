"""Which addresses inputs may be fetched from: public ones, and private networks only when allowed.

A name is resolved once, and the connection goes to one of the addresses that were checked, so that a name
server can't answer differently the second time.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from runner.server.config import Network

_NAT64 = IPv6Network("64:ff9b::/96")


class RefusedAddress(Exception):
    """The address is private and not allowed; the message names the host and the way to allow it."""


def resolve(host: str, port: int, allowed: Iterable[Network]) -> list[str]:
    """Addresses of `host` that may be connected to, in the resolver's order.

    Raises RefusedAddress when there are addresses and none is good, OSError when there are none.
    """
    found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    networks = tuple(allowed)
    good = [one for one in dict.fromkeys(found) if is_allowed(one, networks)]
    if not good:
        raise RefusedAddress(
            f"{host} is in a private or reserved network, which this server refuses; "
            "start it with --allow-private NETWORK to allow it"
        )
    return good


def is_allowed(address: str, networks: tuple[Network, ...]) -> bool:
    """Whether an address is public, or in one of `networks`; what wraps an IPv4 address counts as that."""
    found = _unwrapped(ip_address(address.partition("%")[0]))
    if any(found.version == network.version and found in network for network in networks):
        return True
    return found.is_global and not found.is_multicast


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address

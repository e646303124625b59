"""Which addresses inputs may be fetched from: public ones, and private networks only when allowed.

A name is resolved once, and the connection goes to one of the addresses that were checked, so that a name
server can't answer differently the second time.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from runner.server.config import Network

# Networks whose addresses end in an IPv4 address: translated (NAT64, stateless) and compatible.
_ENDING_IN_IPV4 = tuple(IPv6Network(one) for one in ("64:ff9b::/96", "::ffff:0:0:0/96", "::/96"))
# What no registry of special addresses that Python knows calls private, and is no place for strangers all the same.
_REFUSED = tuple(
    ip_network(one)
    for one in (
        "fec0::/10",  # site-local, deprecated and still routed here and there
        "64:ff9b:1::/48",  # a translation of the network's own, into whatever it has
        "5f00::/16",  # segment routing identifiers, of a network's inside
        "3fff::/20",  # for documentation
        "192.0.0.0/24",  # of protocols, and with it what some clouds tell their machines
        "192.88.99.0/24",  # once the relays of 6to4
        "168.63.129.16/32",  # Azure's own services, as a virtual machine sees them
    )
)


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
            "allow_private in [local] of runner.toml opens it to a run's own server, --allow-private to `runner serve`"
        )
    return good


def is_allowed(address: str, networks: tuple[Network, ...]) -> bool:
    """Whether an address is public, or in one of `networks`; what wraps an IPv4 address counts as that."""
    given = ip_address(address.partition("%")[0])
    found = _unwrapped(given)
    if _is_in(given, networks) or _is_in(found, networks):
        return True
    return found.is_global and not found.is_multicast and not _is_in(found, _REFUSED)


def _is_in(address: IPv4Address | IPv6Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if _is_in(address, _ENDING_IN_IPV4):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address

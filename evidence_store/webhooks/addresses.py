"""Which addresses may be connected to. Pure.

A name is looked up once for each try, what comes back is checked here, and the checked address itself is connected to:
a name that answers differently the second time (DNS rebinding) changes nothing.
"""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

_NOT_PUBLIC = tuple(
    ip_network(network)
    for network in (
        # IPv4 special-purpose registry (RFC 6890 and what followed), multicast and reserved
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/3",
        # within IPv6's global unicast 2000::/3: Teredo and its like, documentation, 6to4
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    )
)  # fmt: skip
_GLOBAL_UNICAST = ip_network("2000::/3")


def may_connect(address: str, networks: Collection[Network]) -> bool:
    """Say whether an address may be connected to.

    address   as a resolver gives it
    networks  the only ones allowed; where there are none, every public address and no other
    """
    try:
        found = _plain(ip_address(address))
    except ValueError:  # also one with a zone, which is never public
        return False
    if networks:
        return any(found in network for network in networks)
    if isinstance(found, IPv6Address) and found not in _GLOBAL_UNICAST:
        return False
    return not any(found in network for network in _NOT_PUBLIC)


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that ::ffff:a.b.c.d stands for."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address

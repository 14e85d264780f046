"""Where deliveries may go. A merchant chooses the address, so it must not lead into our own network.

In live mode: https, and public addresses only. In test mode http too, and private addresses (a shop on a
developer's machine) where the installation allows them. Link-local addresses never: cloud providers answer there
with the machine's own credentials.
"""

from __future__ import annotations

import ipaddress

import httpx

from tongbao.foundation.errors import InvalidRequest

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def check_url(url: str, livemode: bool, param: str = "url") -> str:
    """Return ``url`` if an endpoint may have it. What its name leads to is checked again on every connection.

    :raises InvalidRequest: naming ``param``.
    """
    problem = _problem(url, livemode)
    if problem is not None:
        raise InvalidRequest("url_invalid", f"Invalid URL: {problem}", param=param)
    return url


def may_connect(address: str, public_only: bool) -> bool:
    """Whether a delivery may be sent to this IP address."""
    ip = _unwrapped(ipaddress.ip_address(address.partition("%")[0]))
    if ip.is_link_local or ip.is_multicast:
        return False
    return not public_only or (ip.is_global and not ip.is_reserved)


def _problem(url: str, livemode: bool) -> str | None:
    try:
        parsed = httpx.URL(url)
        host = parsed.raw_host.decode()
    except (httpx.InvalidURL, UnicodeError, ValueError):
        return "it cannot be read."
    if any(character.isspace() or not character.isprintable() for character in url):
        return "it must not hold spaces or control characters."
    if parsed.scheme != "https" and (livemode or parsed.scheme != "http"):
        return "it must begin with https:// in live mode." if livemode else "it must begin with https:// or http://."
    if not host:
        return "it names no host."
    if parsed.userinfo:
        return "it must not hold a user name or a password."
    if parsed.fragment:
        return "it must not have a fragment (#…)."
    if parsed.port is not None and not 0 < parsed.port < 65_536:
        return "its port does not exist."
    if len(host) > 253 or any(len(label) > 63 for label in host.split(".")):
        return "its host name is too long."
    try:
        permitted = may_connect(host, livemode)
    except ValueError:  # A name, not an address.
        permitted = not (livemode and host.lower().rstrip(".").endswith("localhost"))
    return None if permitted else "its address is not public."


def _unwrapped(ip: IpAddress) -> IpAddress:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        return ip.ipv4_mapped or ip.sixtofour or ip
    return ip

"""One host of a list, before it is an appliance of a fleet."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = ["ListedHost", "is_address", "parse_host", "split_port"]

_URL: Final = re.compile(r"https?://(?:[^/@]*@)?(?P<address>[^/?#]+).*", re.IGNORECASE | re.DOTALL)
_HTTPS_PORT: Final = ":443"
_PORT: Final = re.compile(r":[0-9]+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedHost:
    """Host of a list, with what the list says about it.

    Attributes
    ----------
    host : str
        Host name or address, with ``:port`` unless it is 443.
    name : str, optional
        Name of the appliance; default: made of the host.
    keys : mapping of str to str
        More keys of the appliance in fleet.toml: site, group, timezone.
    place : str
        Where it was listed, for errors: file and line.
    """

    host: str
    name: str | None = None
    keys: Mapping[str, str] = field(default_factory=dict, hash=False)
    place: str = ""


def parse_host(text: str) -> str:
    """Return the host of an address as lists have it: a name, a URL, a bare IPv6 address.

    User and password of a URL are dropped. A wrong host is returned as it is: `Appliance` checks.

    Examples
    --------
    >>> parse_host("https://vc-1.example.com:443/ui/"), parse_host("2001:db8::1")
    ('vc-1.example.com', '[2001:db8::1]')
    """
    host = text.strip()
    if matched := _URL.fullmatch(host):
        host = matched["address"]
    try:
        return f"[{ipaddress.IPv6Address(host)}]"
    except ValueError:
        return host.removesuffix(_HTTPS_PORT).removesuffix(".")


def split_port(host: str) -> str:
    """Return a host without its port and without the brackets of IPv6.

    Examples
    --------
    >>> split_port("vc-1.example.com:8443"), split_port("[2001:db8::1]")
    ('vc-1.example.com', '2001:db8::1')
    """
    if host.endswith("]"):
        return host.strip("[]")
    return _PORT.sub("", host).strip("[]")


def is_address(host: str) -> bool:
    """Return whether a host without port and brackets is an IP address.

    Examples
    --------
    >>> is_address("192.0.2.17"), is_address("vc-1")
    (True, False)
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

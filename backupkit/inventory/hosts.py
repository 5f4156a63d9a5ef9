"""One host of a list, before it is an appliance of a fleet."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = ["HostKey", "ListedHost", "is_address", "parse_host", "split_port"]

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


@dataclass(frozen=True, slots=True)
class HostKey:
    """Name and port of a host, to compare hosts of different lists.

    Attributes
    ----------
    name : str
        Name or address in lower case, without port and brackets.
    port : str
        Port; "" if it is not stated.

    Examples
    --------
    >>> HostKey.of("VC-1.test:8443").matches(HostKey.of("vc-1"))
    True
    """

    name: str
    port: str

    @classmethod
    def of(cls, host: str) -> "HostKey":
        """Return the key of a host of a list."""
        address = parse_host(host).casefold()
        name = split_port(address)
        return cls(name, address.rpartition(":")[2] if address not in {name, f"[{name}]"} else "")

    def matches(self, other: "HostKey") -> bool:
        """Return whether both are one host; a name without a domain is that of any domain."""
        if not self.may_share_port(other):
            return False
        if self.name == other.name:
            return True
        if is_address(self.name) or is_address(other.name):
            return False
        short, long = sorted((self.name, other.name), key=len)
        return "." not in short and long.startswith(f"{short}.")

    def may_share_port(self, other: "HostKey") -> bool:
        """Return whether the ports are the same; they are if one is not stated."""
        ports = {self.port, other.port} - {""}
        return len(ports) < 2  # noqa: PLR2004 # two ports differ


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

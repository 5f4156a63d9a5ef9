"""Comparison of the nodes of an SSO domain with the appliances of a fleet."""

import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from backupkit.fleet import Appliance
from backupkit.inventory import is_address, parse_host, split_port
from backupkit.wire import Node

__all__ = ["DomainNode", "Resolve", "match_nodes", "resolve_host"]

Resolve: TypeAlias = Callable[[str], frozenset[str]]
"""Returns the addresses of a host."""

_NO_VCENTER: Final = "PSC_EXTERNAL"
"""Type of a Platform Services Controller, which has no vCenter Server."""


@dataclass(frozen=True, slots=True)
class DomainNode:
    """Node of an SSO domain.

    Attributes
    ----------
    host : str
        Name or address, as the appliances list it.
    type : str
        VCSA_EMBEDDED, VCSA_EXTERNAL, PSC_EXTERNAL, or an unknown word.
    appliance : str or None
        Name of the appliance in fleet.toml; None if it is not there.
    """

    host: str
    type: str
    appliance: str | None

    @property
    def is_missing(self) -> bool:
        """Return whether it is a vCenter Server that fleet.toml does not have."""
        return self.appliance is None and self.type != _NO_VCENTER


def match_nodes(
    nodes: Iterable[Node], appliances: Sequence[Appliance], resolve: Resolve
) -> list[DomainNode]:
    """Find the appliance of each node: by its name, else by its addresses.

    A name without a domain is the same as one that begins with it. A port counts only if both
    have one. Addresses are looked up only for nodes and appliances that no name has matched.

    Examples
    --------
    >>> from backupkit.passwords import PasswordSource
    >>> source = PasswordSource("env", "VCSA_PASSWORD")
    >>> fleet = [Appliance(name="one", host="VC-1.test:8443", user="u@v", password=source)]
    >>> nodes = [Node("vc-1.test"), Node("vc-2.test")]
    >>> [node.appliance for node in match_nodes(nodes, fleet, lambda host: frozenset())]
    ['one', None]
    """
    keys = [(_split(appliance.host), appliance.name) for appliance in appliances]
    by_name = [
        (node, next((name for key, name in keys if _are_same(_split(node.node), key)), None))
        for node in nodes
    ]
    matched = {name for _, name in by_name}
    free = [(key, name) for key, name in keys if name not in matched]
    return [
        DomainNode(node.node, node.type, name or _find_by_address(_split(node.node), free, resolve))
        for node, name in by_name
    ]


def _find_by_address(
    node: tuple[str, str], free: Sequence[tuple[tuple[str, str], str]], resolve: Resolve
) -> str | None:
    """Return the one appliance that has an address of a node."""
    addresses = resolve(node[0]) if free else frozenset[str]()
    found = [
        name
        for key, name in free
        if addresses and _may_share_port(node, key) and addresses & resolve(key[0])
    ]
    return found[0] if len(found) == 1 else None


def resolve_host(host: str) -> frozenset[str]:
    """Return the addresses of a host; none if it cannot be resolved.

    Examples
    --------
    >>> resolve_host("127.0.0.1")
    frozenset({'127.0.0.1'})
    """
    try:
        entries = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # UnicodeError: no possible name
        return frozenset()
    return frozenset(str(entry[4][0]) for entry in entries)


def _split(host: str) -> tuple[str, str]:
    """Return name and port of a host, the port empty if there is none."""
    address = parse_host(host).casefold()
    name = split_port(address)
    return name, address.rpartition(":")[2] if address not in {name, f"[{name}]"} else ""


def _are_same(node: tuple[str, str], appliance: tuple[str, str]) -> bool:
    first, second = node[0], appliance[0]
    if not _may_share_port(node, appliance):
        return False
    if first == second:
        return True
    if is_address(first) or is_address(second):
        return False
    short, long = sorted((first, second), key=len)
    return "." not in short and long.startswith(f"{short}.")


def _may_share_port(node: tuple[str, str], appliance: tuple[str, str]) -> bool:
    ports = {node[1], appliance[1]} - {""}
    return len(ports) < 2  # noqa: PLR2004 # two ports differ

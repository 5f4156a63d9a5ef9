"""Comparison of the nodes of an SSO domain with the appliances of a fleet."""

import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from backupkit.fleet import Appliance
from backupkit.inventory import HostKey
from backupkit.tables.domain_nodes import NO_VCENTER
from backupkit.wire import Node

__all__ = ["DomainNode", "Resolve", "match_nodes", "resolve_host"]

Resolve: TypeAlias = Callable[[str], frozenset[str]]
"""Returns the addresses of a host."""


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
    asked : str
        Name of the appliance that lists it.
    """

    host: str
    type: str
    appliance: str | None
    asked: str = ""

    @property
    def is_missing(self) -> bool:
        """Return whether it is a vCenter Server that fleet.toml does not have."""
        return self.appliance is None and self.type != NO_VCENTER


def match_nodes(
    nodes: Iterable[Node], appliances: Sequence[Appliance], resolve: Resolve, *, asked: str = ""
) -> list[DomainNode]:
    """Find the appliance of each node: by its name, else by its addresses.

    A name without a domain is the same as one that begins with it. A port counts only if both
    have one. Addresses are looked up only for nodes and appliances that no name has matched.
    `asked` is the name of the appliance that lists the nodes.

    Examples
    --------
    >>> from backupkit.passwords import PasswordSource
    >>> source = PasswordSource("env", "VCSA_PASSWORD")
    >>> fleet = [Appliance(name="one", host="VC-1.test:8443", user="u@v", password=source)]
    >>> nodes = [Node("vc-1.test"), Node("vc-2.test")]
    >>> [node.appliance for node in match_nodes(nodes, fleet, lambda host: frozenset())]
    ['one', None]
    """
    keys = [(HostKey.of(appliance.host), appliance.name) for appliance in appliances]
    hosts = [(node, HostKey.of(node.node)) for node in nodes]
    by_name = [
        (node, host, next((name for key, name in keys if host.matches(key)), None))
        for node, host in hosts
    ]
    matched = {name for _, _, name in by_name}
    free = [(key, name) for key, name in keys if name not in matched]
    return [
        DomainNode(
            node.node,
            node.type,
            name or _find_by_address(host, free, resolve),
            asked,
        )
        for node, host, name in by_name
    ]


def _find_by_address(
    node: HostKey, free: Sequence[tuple[HostKey, str]], resolve: Resolve
) -> str | None:
    """Return the one appliance that has an address of a node."""
    addresses = resolve(node.name) if free else frozenset[str]()
    found = [
        name
        for key, name in free
        if addresses and node.may_share_port(key) and addresses & resolve(key.name)
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

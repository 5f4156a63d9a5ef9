"""SSO domain of simulated appliances: its nodes, as the topology of vCenter lists them."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol


class _Member(Protocol):
    host: str
    domain: "Domain"

    @property
    def site(self) -> str: ...


@dataclasses.dataclass
class Domain:
    """SSO domain (enhanced linked mode) that appliances share.

    Attributes
    ----------
    members : list
        Simulated appliances.
    others : list of (str, str)
        Host and type of nodes that are not simulated.
    """

    members: list[_Member] = dataclasses.field(default_factory=list)
    others: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    def nodes(self) -> list[dict[str, object]]:
        """Return the nodes as the API lists them, each with its replication partners.

        The real API has a name or an address. Simulated appliances share one address, so their
        nodes have the port, too.
        """
        nodes = [(member.host, "VCSA_EMBEDDED") for member in self.members] + self.others
        hosts = [host for host, _ in nodes]
        return [
            {
                "node": host,
                "type": kind,
                "replication_partners": [other for other in hosts if other != host],
            }
            for host, kind in nodes
        ]


def join_by_site(appliances: Sequence[_Member]) -> None:
    """Put the appliances of each site into one SSO domain."""
    domains: dict[str, Domain] = {}
    for appliance in appliances:
        appliance.domain = domains.setdefault(appliance.site, Domain())
        appliance.domain.members.append(appliance)

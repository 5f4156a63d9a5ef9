"""Comparison of the nodes of the SSO domains with the appliances of fleet.toml."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import pandas as pd

from backupkit.inventory import HostKey
from backupkit.tables.domain_nodes import INVENTORY, INVENTORY_RESULTS, NO_VCENTER, SeenNode

__all__ = ["compare_inventory"]


def compare_inventory(
    nodes: Iterable[SeenNode],
    hosts: Mapping[str, str | None],
    *,
    at: datetime,
    only: Collection[str] | None = None,
) -> pd.DataFrame:
    """Compare the nodes of the SSO domains with the appliances of fleet.toml.

    Parameters
    ----------
    nodes : iterable of SeenNode
        The nodes as last read, such as those of `History.domain_nodes`.
    hosts : mapping of str to str or None
        The host of each appliance in fleet.toml, by its name.
    at : datetime
        The moment [UTC]; what was read later is ignored.
    only : collection of str, optional
        Only these appliances and their domains; default: all.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.INVENTORY`. Appliances that no discovery has asked and no list has are
        not in it, and neither are domains without an appliance of fleet.toml.

    Notes
    -----
    A node keeps the appliance that the discovery has found for it, which may be by address. Else
    its name decides, so an appliance that was added to fleet.toml later is matched.

    Examples
    --------
    >>> from datetime import UTC
    >>> now = datetime(2026, 11, 9, tzinfo=UTC)
    >>> hosts = ["vc-1.test", "vc-2.test"]
    >>> nodes = [SeenNode(asked="vc-1", host=host, seen_at=now) for host in hosts]
    >>> compare_inventory(nodes, {"vc-1": "vc-1.test"}, at=now)[["host", "result"]].values.tolist()
    [['vc-2.test', 'missing'], ['vc-1.test', 'matched']]
    """
    chosen = hosts.keys() if only is None else hosts.keys() & set(only)
    rows = sorted(
        _compare([node for node in nodes if node.seen_at <= at], hosts, chosen),
        key=lambda row: (INVENTORY_RESULTS.index(row.result), row.host or "", row.appliance or ""),
    )
    return INVENTORY.conform(pd.DataFrame(rows, columns=list(_Row._fields)))


class _Row(NamedTuple):
    """One row of `backupkit.tables.INVENTORY`."""

    host: str | None
    appliance: str | None
    type: str | None
    result: str
    seen_at: datetime
    reason: str | None = None


def _compare(
    nodes: Sequence[SeenNode], hosts: Mapping[str, str | None], chosen: Collection[str]
) -> Iterator[_Row]:
    """Yield the rows of the chosen appliances and of their domains, in no order."""
    keys = [(HostKey.of(host), name) for name, host in hosts.items() if host]
    listed = [(node, _find_name(node, hosts, keys)) for node in nodes if node.host]
    domains = {node.asked for node, name in listed if name in chosen or node.asked in chosen}
    requests = [node for node in nodes if not node.host and node.asked in chosen]
    unread = {request.asked for request in requests if request.error}
    seen = {name for _, name in listed}
    for node, name in listed:
        row = _Row(node.host, name, node.type or None, "matched", node.seen_at)
        if name is not None:
            if name in chosen and name not in unread:
                yield row
        elif node.asked not in domains:
            continue
        elif node.type == NO_VCENTER:
            reason = "a Platform Services Controller"
            yield row._replace(result="no vCenter Server", reason=reason)
        else:
            reason = f"in the SSO domain of {node.asked}, but not in fleet.toml"
            yield row._replace(result="missing", reason=reason)
    for request in requests:
        name = request.asked
        row = _Row(hosts[name], name, None, "unknown", request.seen_at, request.error)
        if request.error:
            yield row
        elif name not in seen:
            reason = "in no list of an SSO domain, not even its own, by the host of fleet.toml"
            yield row._replace(result="unlisted", reason=reason)


def _find_name(
    node: SeenNode, hosts: Mapping[str, str | None], keys: Iterable[tuple[HostKey, str]]
) -> str | None:
    """Return the appliance of a node in fleet.toml; None if it is not there."""
    if node.appliance in hosts:
        return node.appliance
    key = HostKey.of(node.host)
    return next((name for host, name in keys if key.matches(host)), None)

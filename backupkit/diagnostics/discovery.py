"""Discovery: the nodes of the SSO domains of a fleet, as its appliances list them."""

import functools
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from time import monotonic
from typing import Final

from backupkit.client import ApplianceClient, Limits
from backupkit.diagnostics.nodes import DomainNode, match_nodes, resolve_host
from backupkit.errors import BackupkitError, NotFoundError, RightsError, one_line
from backupkit.fleet import Appliance, Fleet, limits_of
from backupkit.passwords import PasswordCache
from backupkit.tables.domain_nodes import SeenNode
from backupkit.wire import Node

__all__ = ["Discovery", "discover", "explain", "explain_missing_list"]

MAX_WAVE: Final = 16
"""Maximum number of appliances that are asked at the same time."""

_MAX_REASON: Final = 500  # characters
_LAST_WITHOUT: Final = (6, 7)
"""Version whose first updates do not list the nodes."""

_NO_NODES: Final = "does not list the nodes of its SSO domain, which needs 6.7 Update 2 or later"
_NO_NODES_ADVICE: Final = (
    "Ask a newer vCenter of the same domain, or compare fleet.toml with the vSphere Client by hand."
)
_NO_RIGHT: Final = (
    "the user may not list the nodes of the SSO domain (it needs the privilege System.Read)"
)


@dataclass(frozen=True)
class Discovery:
    """Nodes of the SSO domains of some appliances.

    Attributes
    ----------
    nodes : tuple of DomainNode
        Each node once, by domain.
    unlisted : tuple of str
        Names of appliances that no list has, also not their own: fleet.toml may have another
        address of them.
    outside : tuple of str
        Names of appliances to compare with that were not asked and that no list has: they may be
        in another SSO domain.
    unread : dict of str to str
        Names of appliances whose domain could not be read, each with the reason.
    too_old : dict of str to str
        Names of appliances whose version has no such list, each with the next step.
    asked : int
        Number of appliances that were asked.
    read : tuple of str
        Names of appliances whose list was read.

    Examples
    --------
    >>> found = Discovery((DomainNode("vc-2.test", "VCSA_EMBEDDED", None),), (), (), {}, {}, 1)
    >>> [node.host for node in found.missing]
    ['vc-2.test']
    """

    nodes: tuple[DomainNode, ...]
    unlisted: tuple[str, ...]
    outside: tuple[str, ...]
    unread: dict[str, str]
    too_old: dict[str, str]
    asked: int
    read: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        lists: Mapping[str, Sequence[DomainNode]],
        unread: Mapping[str, str],
        too_old: Mapping[str, str],
        *,
        known: Iterable[Appliance],
    ) -> "Discovery":
        """Combine the lists of some appliances, by name, and the reasons where one is unknown."""
        nodes: dict[str, DomainNode] = {}
        for node in chain.from_iterable(lists.values()):
            nodes.setdefault(node.host.casefold(), node)
        seen = {node.appliance for listed in lists.values() for node in listed}
        compared = {*seen, *lists, *unread, *too_old}
        return cls(
            tuple(nodes.values()),
            tuple(name for name in lists if name not in seen),
            tuple(one.name for one in known if one.name not in compared),
            {name: reason for name, reason in unread.items() if name not in seen},
            {name: text for name, text in too_old.items() if name not in seen},
            len(lists) + len(unread) + len(too_old),
            tuple(lists),
        )

    def rows(self, seen_at: datetime) -> tuple[SeenNode, ...]:
        """Return what `History.domain_nodes` stores, with the time of the discovery [UTC]."""
        asked = dict.fromkeys(self.read, "") | self.unread | self.too_old
        return (
            *(
                SeenNode(asked=name, seen_at=seen_at, error=one_line(reason, limit=_MAX_REASON))
                for name, reason in asked.items()
            ),
            *(
                SeenNode(
                    asked=node.asked,
                    host=node.host,
                    type=node.type,
                    appliance=node.appliance,
                    seen_at=seen_at,
                )
                for node in self.nodes
            ),
        )

    @property
    def missing(self) -> tuple[DomainNode, ...]:
        """Return the nodes with a vCenter Server that fleet.toml does not have."""
        return tuple(node for node in self.nodes if node.is_missing)


def discover(
    fleet: Fleet | Iterable[Appliance],
    *,
    known: Sequence[Appliance] | None = None,
    limits: Limits | None = None,
) -> Discovery:
    """Read the nodes of the SSO domains of appliances, and compare them with a fleet.

    An appliance that another one listed is not asked, so a domain costs about one login. If
    appliances are in many domains, more and more of them are asked at the same time.

    Parameters
    ----------
    fleet : Fleet or iterable of Appliance
        Appliances to ask.
    known : sequence of Appliance, optional
        Appliances to compare with; default: all of `fleet`, disabled ones too.
    limits : Limits, optional
        Time limits; default: those of the fleet.

    Returns
    -------
    Discovery
        Nodes, and appliances whose domain is unknown. Appliances do not affect each other.

    Notes
    -----
    The list is ``GET vcenter/topology/nodes`` of the vSphere Automation API, from 6.7 U2.

    Examples
    --------
    >>> from backupkit.passwords import PasswordSource
    >>> nowhere = PasswordSource("env", "NOT_SET")
    >>> off = Appliance(name="vc-1", host="127.0.0.1:1", user="u@v.local", password=nowhere)
    >>> discover([off]).unread
    {'vc-1': 'the environment variable NOT_SET is not set. Set NOT_SET to the password.'}
    """
    limits = limits_of(fleet, limits)
    waiting = list(fleet)
    if known is None:
        known = fleet.appliances if isinstance(fleet, Fleet) else waiting
    resolve = functools.cache(resolve_host)
    reader = _Reader(limits, monotonic() + limits.deadline)
    lists: dict[str, list[DomainNode]] = {}
    unread: dict[str, str] = {}
    too_old: dict[str, str] = {}
    size = 1
    with ThreadPoolExecutor(max_workers=MAX_WAVE) as pool:
        try:
            while waiting:
                wave, waiting = waiting[:size], waiting[size:]
                answers = pool.map(reader.read, wave)
                for appliance, answer in zip(wave, answers, strict=True):
                    name = appliance.name
                    if isinstance(answer, str):
                        unread[name] = answer
                    elif isinstance(answer, _TooOld):
                        too_old[name] = answer.text
                    else:
                        lists[name] = match_nodes(answer, known, resolve, asked=name)
                seen = {node.appliance for listed in lists.values() for node in listed}
                waiting = [one for one in waiting if one.name not in seen]
                size = min(2 * size, MAX_WAVE)
        except BaseException:  # Ctrl-C, too
            reader.stop.set()
            raise
    return Discovery.of(lists, unread, too_old, known=known)


@dataclass(frozen=True)
class _TooOld:
    """Answer of an appliance whose version has no list of nodes."""

    text: str


class _Reader:
    """Reads the nodes that appliances list; a secret is typed once."""

    def __init__(self, limits: Limits, deadline: float) -> None:
        self.stop = threading.Event()
        self._limits, self._deadline = limits, deadline
        self._passwords = PasswordCache()

    def read(self, appliance: Appliance) -> list[Node] | str | _TooOld:
        """Return the nodes that an appliance lists, or why they could not be read."""
        try:
            with ApplianceClient(
                appliance,
                self._passwords.read(appliance.password, appliance.account, stop=self.stop),
                limits=self._limits.override(appliance.limits),
                deadline=self._deadline,
                stop=self.stop,
            ) as client:
                try:
                    nodes, errors = client.nodes()
                except NotFoundError as error:
                    reason = explain_missing_list(client, error)
                    return _TooOld(f"{reason}. {_NO_NODES_ADVICE}")
        except BackupkitError as error:
            return explain(error)
        return next((error.text for error in errors.values()), "") or nodes


def explain_missing_list(client: ApplianceClient, error: NotFoundError) -> str:
    """Return that the version has no list of nodes; raise the error if that is not the reason."""
    version = one_line(client.version(), limit=40)
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) > _LAST_WITHOUT:
        raise error
    return f"version {version} {_NO_NODES}"


def explain(error: BackupkitError) -> str:
    """Return why the nodes could not be read.

    Examples
    --------
    >>> explain(RightsError("the user may not read the nodes (403)")).rpartition(" ")[2]
    '(403)'
    """
    if isinstance(error, RightsError):
        return f"{_NO_RIGHT} (403)"
    return error.text

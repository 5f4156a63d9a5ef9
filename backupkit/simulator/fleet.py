"""A whole simulated fleet on loopback, from certificate authority to request log."""

import contextlib
import dataclasses
import email.utils
import functools
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme

from backupkit.simulator import inventory
from backupkit.simulator.appliance import SimulatedAppliance
from backupkit.simulator.faults import SLOWNESS, befallen, checked, drawn
from backupkit.simulator.model import Trait
from backupkit.simulator.scenario import Scenario
from backupkit.simulator.server import Door, Porter
from backupkit.simulator.sessions import LIMIT
from backupkit.simulator.wire import Reply, Request


@dataclasses.dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request that a fleet has answered; status 0 where it dropped the connection."""

    appliance: str
    method: str
    path: str
    status: int
    query: str = ""


def _now() -> datetime:
    return datetime.now(UTC)


class SimulatedFleet:
    """Appliances that answer over HTTPS while the ``with`` block runs.

    Parameters
    ----------
    scenario : Scenario
        Which appliances, and their story.
    clock : callable, optional
        Returns an aware datetime; the true time by default.
    latency : float
        Waited before each answer [s].
    host : str
        Address to listen on.
    port : int
        Of the first appliance, the others follow; 0 takes free ones.
    faults : mapping, optional
        Share of the requests that go wrong, by kind of `faults.KINDS`. Log-in and log-out
        are spared.
    session_limit : int
        Sessions that one user may have open on an appliance.

    Raises
    ------
    ValueError
        For faults that do not exist or do not add up.

    Examples
    --------
    >>> scenario = Scenario.demo(epoch=datetime(2026, 11, 23, 12, tzinfo=UTC))
    >>> with SimulatedFleet(scenario) as fleet:
    ...     fleet["vc-ham-01"].site
    'Hamburg'
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        clock: Callable[[], datetime] | None = None,
        latency: float = 0.0,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: Mapping[str, float] | None = None,
        session_limit: int = LIMIT,
    ) -> None:
        self.appliances = tuple(
            SimulatedAppliance(plan, scenario, clock=clock or _now, session_limit=session_limit)
            for plan in scenario.plans
        )
        self._latency = latency
        self._address = (host, port)
        self._faults = checked(faults or {})
        self._seed = scenario.seed
        self._by_name = {appliance.name: appliance for appliance in self.appliances}
        self._doors: dict[str, Door] = {}
        self._open: set[str] = set()
        self._authority = trustme.CA(organization_name="backupkit simulator")
        self._log: list[LoggedRequest] = []
        self._asked: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        host, first = self._address
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*{"localhost": 0, "127.0.0.1": 0, host: 0}).configure_cert(tls)
        with contextlib.ExitStack() as stack:
            self._porter = Porter()
            stack.callback(self._porter.close)
            for offset, appliance in enumerate(self.appliances):
                answer = functools.partial(self._answer, appliance)
                door = Door(answer, tls, (host, first + offset if first else 0))
                stack.callback(door.shut)
                self._doors[appliance.name] = door
                name = f"[{host}]" if ":" in host else host
                appliance.host = f"{name}:{door.address[1]}"
                if Trait.UNREACHABLE not in appliance.traits:
                    self.start(appliance.name)
            stack.callback(self._close)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def __getitem__(self, name: str) -> SimulatedAppliance:
        return self._by_name[name]

    @property
    def authority(self) -> bytes:
        """Certificate of the authority that a client has to trust, as PEM."""
        return self._authority.cert_pem.bytes()

    @property
    def requests(self) -> tuple[LoggedRequest, ...]:
        """Every request answered so far, oldest first."""
        with self._lock:
            return tuple(self._log)

    def clear_requests(self) -> None:
        """Forget the requests so far."""
        with self._lock:
            self._log.clear()

    @property
    def open_sessions(self) -> int:
        """Sessions that nobody has ended and that have not idled out, of all appliances."""
        return sum(len(appliance.sessions) for appliance in self.appliances)

    def write_fleet(self, path: str | Path) -> None:
        """Write the inventory file that a client needs.

        Parameters
        ----------
        path : path
            Of the TOML file. ``<stem>.ca.pem`` and ``<stem>.password`` come beside it.
        """
        inventory.write(Path(path), self.appliances, self.authority)

    def stop(self, name: str) -> None:
        """Make an appliance unreachable: its port refuses, its connections break.

        Parameters
        ----------
        name : str
            Of the appliance. Stopping twice is harmless.
        """
        if name in self._open:
            door = self._doors[name]
            self._porter.leave(door)
            door.shut()
            door.reserve()
            self._open.remove(name)

    def start(self, name: str) -> None:
        """Make an appliance reachable, on the port it had; its sessions are gone.

        Parameters
        ----------
        name : str
            Of the appliance. Starting twice is harmless.
        """
        if name not in self._open:
            self[name].sessions.clear()
            door = self._doors[name]
            door.open()
            self._porter.watch(door)
            self._open.add(name)

    def set_password(self, name: str, password: str) -> None:
        """Change the password; open sessions stay.

        Parameters
        ----------
        name : str
            Of the appliance.
        password : str
            The new one.
        """
        self[name].password = password

    def revoke(self, name: str) -> None:
        """Take away the user's rights: it may log in, and gets 403 for the rest.

        Parameters
        ----------
        name : str
            Of the appliance.
        """
        self[name].revoked = True

    def answer_html(self, name: str, on: bool = True) -> None:  # noqa: FBT001, FBT002  # a switch
        """Answer 503 with a page for people, as a proxy does while services start.

        Parameters
        ----------
        name : str
            Of the appliance.
        on : bool
            False: be an appliance again.
        """
        self[name].html = on

    def _answer(self, appliance: SimulatedAppliance, request: Request) -> Reply | None:
        kind = None
        if self._faults and "/appliance/" in request.path:
            with self._lock:
                self._asked[appliance.name] += 1
                count = self._asked[appliance.name]
            kind = drawn(self._faults, f"{self._seed}/{appliance.name}/fault/{count}")
        wait = self._latency + (SLOWNESS if kind == "slow" else 0.0)
        if wait:
            self._closing.wait(wait)
        reply = befallen(kind, appliance, request)
        status = 0 if reply is None else reply.status
        _, _, query = request.target.partition("?")
        logged = LoggedRequest(appliance.name, request.method, request.path, status, query)
        with self._lock:
            self._log.append(logged)
        if reply is None:
            return None
        date = email.utils.format_datetime(appliance.now(), usegmt=True)
        return dataclasses.replace(reply, headers=(("Date", date), *reply.headers))

    def _close(self) -> None:
        self._closing.set()
        for name in self._open:
            self._porter.leave(self._doors[name])
        self._open.clear()

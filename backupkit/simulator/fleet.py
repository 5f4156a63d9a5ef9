"""Simulated fleet on loopback, with certificate authority and request log."""

import contextlib
import dataclasses
import email.utils
import functools
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from backupkit.simulator.appliance import SESSION_LIMIT, SimulatedAppliance
from backupkit.simulator.domain import join_by_site
from backupkit.simulator.faults.contents import affected_jobs, listed_id
from backupkit.simulator.faults.fault import KINDS, Fault, Faults
from backupkit.simulator.faults.replies import FaultContext, apply_fault
from backupkit.simulator.fleet_file import secret_path, write_fleet_file
from backupkit.simulator.identity import IdentityProvider
from backupkit.simulator.model import Trait
from backupkit.simulator.routes import respond
from backupkit.simulator.scenario import Scenario
from backupkit.simulator.server import Acceptor, Listener
from backupkit.simulator.wire import Reply, Request

try:
    import trustme
except ImportError as error:
    raise ImportError(
        'The simulator needs trustme. Install it with: pip install "backupkit[demo]"'
    ) from error


@dataclasses.dataclass(frozen=True, slots=True)
class LoggedRequest:
    """Request that a fleet has answered.

    Status 0 means that no HTTP response was sent. `fault` is the kind of its fault, if any.
    """

    appliance: str
    method: str
    path: str
    status: int
    query: str = ""
    fault: str = ""


def _now() -> datetime:
    return datetime.now(UTC)


class SimulatedFleet:
    """Simulated appliances that serve HTTPS while the ``with`` block runs.

    Parameters
    ----------
    scenario : Scenario
        Appliances and their jobs.
    clock : callable, optional
        Returns an aware datetime; default: the true time.
    latency : float
        Delay before each response [s].
    host : str
        Address to listen on.
    port : int
        Port of the first appliance, the others follow; 0 picks free ports.
    faults : sequence of Fault, or mapping, optional
        Faults to inject; the first that applies wins. A mapping from kind to rate excludes login
        and logout.
    session_limit : int
        Maximum number of open sessions per appliance.
    provider : IdentityProvider, optional
        Identity provider that all appliances trust; its port follows those of the appliances.

    Raises
    ------
    ValueError
        If a fault does not exist or matches no appliance, or the rates of a mapping exceed 1.

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
        faults: Sequence[Fault] | Mapping[str, float] = (),
        session_limit: int = SESSION_LIMIT,
        provider: IdentityProvider | None = None,
    ) -> None:
        self.provider = provider
        self.appliances = tuple(
            SimulatedAppliance(spec, scenario, clock=clock or _now, session_limit=session_limit)
            for spec in scenario.specs
        )
        for appliance in self.appliances:
            appliance.provider = provider
        join_by_site(self.appliances)
        self._latency = latency
        self._address = (host, port)
        self._seed = scenario.seed
        self._by_name = {appliance.name: appliance for appliance in self.appliances}
        self.set_faults(faults)
        self._listeners: dict[str, Listener] = {}
        self._open: set[str] = set()
        self._authority = trustme.CA(organization_name="backupkit simulator")
        self._log: list[LoggedRequest] = []
        self._lock = threading.Lock()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        host, first = self._address
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*{"localhost": 0, "127.0.0.1": 0, host: 0}).configure_cert(tls)
        with contextlib.ExitStack() as stack:
            self._acceptor = Acceptor()
            stack.callback(self._acceptor.close)
            for offset, appliance in enumerate(self.appliances):
                answer = functools.partial(self._answer, appliance)
                listener = Listener(answer, tls, (host, first + offset if first else 0))
                stack.callback(listener.close)
                self._listeners[appliance.name] = listener
                name = f"[{host}]" if ":" in host else host
                appliance.host = f"{name}:{listener.address[1]}"
                if Trait.UNREACHABLE not in appliance.traits:
                    self.start(appliance.name)
            if self.provider is not None:
                own_port = first + len(self.appliances) if first else 0
                listener = Listener(self.provider.answer, tls, (host, own_port))
                stack.callback(listener.close)
                listener.open()
                self._acceptor.add(listener)
                stack.callback(self._acceptor.remove, listener)
                self.provider.host = f"{name}:{listener.address[1]}"
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
        """Certificate of the authority that a client must trust, PEM."""
        return self._authority.cert_pem.bytes()

    @property
    def requests(self) -> tuple[LoggedRequest, ...]:
        """Requests answered so far, oldest first."""
        with self._lock:
            return tuple(self._log)

    def clear_requests(self) -> None:
        """Clear the request log."""
        with self._lock:
            self._log.clear()

    @property
    def open_sessions(self) -> int:
        """Number of open sessions on all appliances."""
        return sum(len(appliance.sessions) for appliance in self.appliances)

    def write_fleet(self, path: str | Path) -> Path:
        """Write the inventory file for a client.

        Parameters
        ----------
        path : path
            TOML file; ``<stem>.ca.pem`` and ``<stem>.password``, or with an identity provider
            ``<stem>.secret``, are written beside it.

        Returns
        -------
        Path
            File of the password, or of the client secret.
        """
        write_fleet_file(Path(path), self.appliances, self.authority, self.provider)
        return secret_path(Path(path), self.provider)

    def stop(self, name: str) -> None:
        """Make an appliance unreachable: its port refuses connections, and open ones break.

        Parameters
        ----------
        name : str
            Name of the appliance; stopping it twice is harmless.
        """
        if name in self._open:
            listener = self._listeners[name]
            self._acceptor.remove(listener)
            listener.close()
            listener.reserve()
            self._open.remove(name)

    def start(self, name: str) -> None:
        """Make an appliance reachable again on its old port; its sessions are lost.

        Parameters
        ----------
        name : str
            Name of the appliance; starting it twice is harmless.
        """
        if name not in self._open:
            self[name].sessions.clear()
            listener = self._listeners[name]
            listener.open()
            self._acceptor.add(listener)
            self._open.add(name)

    def set_password(self, name: str, password: str) -> None:
        """Change the password; open sessions stay open.

        Parameters
        ----------
        name : str
            Name of the appliance.
        password : str
            New password.
        """
        self[name].password = password

    def refuse_passwords(self, name: str) -> None:
        """Refuse every password, as with multi-factor authentication; tokens are accepted.

        Parameters
        ----------
        name : str
            Name of the appliance.
        """
        self[name].refuses_passwords = True

    def revoke(self, name: str) -> None:
        """Revoke the user's permissions: the login works, other requests get 403.

        Parameters
        ----------
        name : str
            Name of the appliance.
        """
        self[name].revoked = True

    def answer_html(self, name: str, on: bool = True) -> None:  # noqa: FBT001, FBT002  # a switch
        """Return 503 with an HTML page, as a proxy does while services start.

        Parameters
        ----------
        name : str
            Name of the appliance.
        on : bool
            False ends it.
        """
        self[name].html = on

    def set_faults(self, faults: Sequence[Fault] | Mapping[str, float]) -> None:
        """Replace the injected faults, and reset their counts.

        Parameters
        ----------
        faults : sequence of Fault, or mapping
            As for the fleet itself; an empty one removes all faults.
        """
        self._faults = Faults(faults, seed=self._seed, names=tuple(self._by_name))

    def affected_jobs(self, name: str) -> tuple[str, ...]:
        """Return the ids of the jobs with wrong content.

        Parameters
        ----------
        name : str
            Name of the appliance.

        Returns
        -------
        tuple of str
            Ids as the appliance lists them now.

        Examples
        --------
        >>> scenario = Scenario.steady(appliances=1, epoch=datetime(2026, 11, 23, tzinfo=UTC))
        >>> fleet = SimulatedFleet(scenario, faults=[Fault("unknown_state", jobs=2)])
        >>> len(fleet.affected_jobs("vc-0001"))
        2
        """
        return tuple(
            listed_id(fault, identifier, index)
            for fault in self._faults.of(name)
            if KINDS[fault.kind].group == "content"
            for identifier, index in affected_jobs(fault, self[name], self._seed).items()
        )

    def forget(self, name: str, job_id: str | None = None) -> None:
        """Remove jobs, as if the history file were deleted; later jobs still appear.

        Parameters
        ----------
        name : str
            Name of the appliance.
        job_id : str, optional
            Id of one job; None means all jobs.
        """
        self[name].forget(job_id)

    def rewrite(
        self,
        name: str,
        job_id: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> None:
        """Change the start or the end of a job.

        Parameters
        ----------
        name : str
            Name of the appliance.
        job_id : str
            Id of the job; it does not change.
        start, end : datetime, optional
            Aware datetimes; None keeps the old value.
        """
        self[name].rewrite(job_id, start=start, end=end)

    def expire_sessions(self, name: str) -> None:
        """End every session, as a timeout or an administrator does.

        Parameters
        ----------
        name : str
            Name of the appliance.
        """
        self[name].sessions.clear()

    def upgrade(self, name: str, version: str, *, legacy: bool = True) -> None:
        """Switch to another release; jobs stay, sessions are lost.

        Parameters
        ----------
        name : str
            Name of the appliance.
        version : str
            Release, such as ``8.0.3``.
        legacy : bool
            Whether it still serves `/rest`.
        """
        self[name].upgrade(version, legacy=legacy)

    def _answer(self, appliance: SimulatedAppliance, request: Request) -> Reply:
        fault = self._faults.select(appliance.name, request)
        if self._latency:
            self._listeners[appliance.name].sleep(self._latency)
        if fault is None:
            reply = respond(appliance, request)
        else:
            reply = apply_fault(FaultContext(fault, appliance, request, self._seed))
        _, _, query = request.target.partition("?")
        kind = "" if fault is None else fault.kind
        logged = LoggedRequest(
            appliance.name, request.method, request.path, reply.status, query, kind
        )
        with self._lock:
            self._log.append(logged)
        date = email.utils.format_datetime(appliance.now(), usegmt=True)
        return dataclasses.replace(reply, headers=(("Date", date), *reply.headers))

    def _close(self) -> None:
        for name in self._open:
            self._acceptor.remove(self._listeners[name])
        self._open.clear()

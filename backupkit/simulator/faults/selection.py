"""Selection of the fault of a request, by seed, appliance and count."""

import fnmatch
import re
import threading
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from backupkit.simulator.faults.fault import Fault
from backupkit.simulator.model import seeded_rng
from backupkit.simulator.wire import Request

_JOB = "/(api|rest)/appliance/recovery/backup/job"
_ADDRESSES = tuple(
    (name, method, re.compile(path))
    for name, method, path in (
        ("log-in", "POST", r"/api/session|/rest/com/vmware/cis/session"),
        ("log-out", "DELETE", r"/api/session|/rest/com/vmware/cis/session"),
        ("list", "GET", _JOB),
        ("details", "GET", f"{_JOB}/details"),
        ("job", "GET", f"{_JOB}/[^/]+"),
        ("schedules", "GET", r"/(api|rest)/appliance/recovery/backup/schedules(/[^/]+)?"),
        ("version", "GET", r"/(api|rest)/appliance/system/version"),
        ("timezone", "GET", r"/(api|rest)/appliance/system/time/timezone"),
    )
)


def route_of(request: Request) -> str:
    """Return the route name of a request.

    Parameters
    ----------
    request : Request
        Any request.

    Returns
    -------
    str
        One of `ROUTES`.

    Examples
    --------
    >>> route_of(Request(method="GET", target="/api/appliance/recovery/backup/job/details?jobs=a"))
    'details'
    """
    if "action" in request.query or "~action" in request.query:
        return "other"
    path = request.path
    return next(
        (
            name
            for name, method, pattern in _ADDRESSES
            if method == request.method and pattern.fullmatch(path)
        ),
        "other",
    )


class Faults:
    """Faults of a fleet, and how often each was applied.

    Parameters
    ----------
    faults : sequence of Fault, or mapping
        In the order of precedence. A mapping from kind to rate excludes login and logout.
    seed : int
        Seed of the scenario.
    names : collection of str
        Names of the appliances.

    Raises
    ------
    ValueError
        If a fault matches no appliance, or the rates of a mapping exceed 1 together.

    Examples
    --------
    >>> faults = Faults([Fault("reset", route="list", times=1)], seed=1, names=["vc-1"])
    >>> request = Request(method="GET", target="/api/appliance/recovery/backup/job")
    >>> [fault and fault.kind for fault in (faults.select("vc-1", request) for _ in range(2))]
    ['reset', None]
    """

    def __init__(
        self,
        faults: Sequence[Fault] | Mapping[str, float],
        *,
        seed: int,
        names: Collection[str],
    ) -> None:
        if isinstance(faults, Mapping):
            if sum(faults.values()) > 1:
                raise ValueError(f"Rates of faults must not exceed 1 together: {dict(faults)}.")
            faults = [Fault.data_only(kind, rate) for kind, rate in faults.items()]
        self._seed = seed
        self._by_appliance: dict[str, list[tuple[Fault, frozenset[str]]]] = {}
        self._request_counts: Counter[str] = Counter()
        self._applied: Counter[tuple[str, int]] = Counter()  # by appliance and index in its list
        self._lock = threading.Lock()
        all_names = set(names)
        for fault in faults:
            is_name = fault.appliance in all_names
            targets = [fault.appliance] if is_name else fnmatch.filter(names, fault.appliance)
            if not targets:
                raise ValueError(
                    f"{fault.kind!r} is for {fault.appliance!r}, and no appliance is called so; "
                    f"the first one is called {next(iter(names), None)!r}."
                )
            for name in targets:
                self._by_appliance.setdefault(name, []).append((fault, frozenset(fault.routes)))

    def of(self, name: str) -> list[Fault]:
        """Return the faults of one appliance.

        Parameters
        ----------
        name : str
            Name of the appliance.

        Returns
        -------
        list of Fault
            In the order of precedence.
        """
        return [fault for fault, _ in self._by_appliance.get(name, ())]

    def select(self, name: str, request: Request) -> Fault | None:
        """Select the fault of a request; the first that applies wins.

        Parameters
        ----------
        name : str
            Name of the appliance.
        request : Request
            Next request to the appliance.

        Returns
        -------
        Fault or None
            None: no fault.
        """
        faults = self._by_appliance.get(name)
        if faults is None:
            return None
        route = route_of(request)
        with self._lock:
            self._request_counts[name] += 1
            remaining = seeded_rng(
                f"{self._seed}/{name}/fault/{self._request_counts[name]}"
            ).random()
            for index, (fault, routes) in enumerate(faults):
                applied = self._applied[name, index]
                if route not in routes or (fault.times is not None and applied >= fault.times):
                    continue
                if remaining < fault.rate:
                    self._applied[name, index] += 1
                    return fault
                remaining -= fault.rate  # so that each rate is a share of all requests
        return None

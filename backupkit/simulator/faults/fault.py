"""Faults that a client of appliances can meet: their kinds, and the selection by a seed.

The replies are built in `replies`, which is not imported here, so help texts are fast.
"""

import dataclasses
import fnmatch
import re
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Self

from backupkit.simulator.model import seeded_rng

if TYPE_CHECKING:
    from backupkit.simulator.wire import Request

SESSION = ("log-in", "log-out")
DATA = ("list", "job", "details", "schedules", "version", "timezone", "other")
ROUTES = (*SESSION, *DATA)
JOBS = ("list", "job", "details")


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """Kind of a fault: what is wrong, a sentence about it, and the routes that can have it."""

    group: Literal["connection", "body", "status", "content"]
    about: str
    routes: tuple[str, ...] = ROUTES


KINDS = {
    "reset": Kind("connection", "The connection is dropped before a response."),
    "reset_body": Kind("connection", "The connection is reset in the middle of the body."),
    "drip": Kind("connection", "The body arrives byte by byte, with pauses."),
    "drip_headers": Kind("connection", "The headers arrive byte by byte, with pauses."),
    "slow": Kind("connection", "The response is correct, but late."),
    "silence": Kind("connection", "No response arrives, and the connection stays open."),
    "garbage": Kind("connection", "The response is not HTTP."),
    "truncated": Kind("body", "The body is shorter than Content-Length."),
    "cut": Kind("body", "Content-Length is correct, but the JSON is cut in half."),
    "empty": Kind("body", "The status is 200, and there is no body."),
    "html": Kind("body", "The status is 503, with an HTML page of a proxy."),
    "page": Kind("body", "The status is 200, with an HTML page for a login."),
    "invalid_utf8": Kind("body", "A string in the JSON is not UTF-8."),
    "content_type": Kind("body", "The JSON is correct, but its type is text/plain."),
    "huge": Kind("body", "The JSON is correct, and megabytes of blanks follow it."),
    "bomb": Kind("body", "As huge, but compressed with gzip."),
    "deep": Kind("body", "The JSON is nested 100,000 levels deep."),
    "error": Kind("status", "500 with an error of the API."),
    "unavailable": Kind("status", "503 with an error of the API, optionally with Retry-After."),
    "bad_gateway": Kind("status", "502 with a proxy's plain text."),
    "too_many": Kind("status", "429 with Retry-After."),
    "unauthenticated": Kind("status", "401: the session has ended.", ("log-out", *DATA)),
    "forbidden": Kind("status", "403: the user lacks the permission."),
    "not_found": Kind("status", "404 with an error of the API."),
    "session_limit": Kind("status", "503: the user has too many sessions.", ("log-in",)),
    "redirect": Kind("status", "302 to another host."),
    "unknown_state": Kind("content", "A job's state is an unknown word.", ("job", "details")),
    "extra_fields": Kind("content", "A job has unknown fields.", ("job", "details")),
    "missing_field": Kind("content", "A job lacks a required field.", ("job", "details")),
    "null_text": Kind("content", "A job has null in place of a text.", ("job", "details")),
    "absurd_numbers": Kind("content", "A job has impossible numbers.", ("job", "details")),
    "zoneless_time": Kind("content", "A job's times have no time zone.", ("job", "details")),
    "offset_time": Kind("content", "A job's times end in +0000.", ("job", "details")),
    "second_60": Kind("content", "A job's times have a second 60.", ("job", "details")),
    "duplicate_ids": Kind("content", "A job occurs twice.", ("list", "details")),
    "odd_ids": Kind("content", "Job ids have slashes, dots, blanks and the like.", JOBS),
    "gone": Kind("content", "A job is in the list, but cannot be read.", ("job", "details")),
    "undetailed": Kind("content", "A job is missing from the details.", ("details",)),
}


def describe_kinds() -> str:
    """Return all kinds and their sentences, one per line."""
    return "\n".join(f"{name}: {kind.about}" for name, kind in KINDS.items())


FORM = "KIND=RATE, KIND=RATE@APPLIANCE or KIND=RATE@APPLIANCE:ROUTE"


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """Fault of one kind.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    rate : float
        Share of the requests with this fault, 0 to 1. Kinds that change the content of jobs are
        consistent only at 1.
    appliance : str
        A name, or a glob pattern of names.
    route : str
        One of `ROUTES`, or a glob pattern of them; ``data``: all but login and logout.
    times : int, optional
        Maximum number of times on each appliance. None: no limit.
    wait : float, optional
        Delay of a ``slow`` reply, or pause between two bytes of a ``drip`` [s].
    retry_after : int or str, optional
        Retry-After header of ``unavailable`` and ``too_many``: seconds [s], a date, or any text.
    size : int, optional
        Size of a ``huge`` body, or of a decompressed ``bomb`` [bytes].
    jobs : int, optional
        Number of jobs with wrong content. None: one, or one per sort of odd ids.
    to : str
        Target of ``redirect``.

    Raises
    ------
    ValueError
        If a value is invalid, or the kind does not apply to the route.

    Examples
    --------
    >>> Fault("unavailable", 0.2, "vc-00*", "job").routes
    ('job',)
    >>> Fault("session_limit", times=1).routes
    ('log-in',)
    """

    kind: str
    rate: float = 1.0
    appliance: str = "*"
    route: str = "*"
    times: int | None = None
    _: dataclasses.KW_ONLY
    wait: float | None = None
    retry_after: int | str | None = None
    size: int | None = None
    jobs: int | None = None
    to: str = "https://127.0.0.1:9/"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"No fault {self.kind!r}; there are {', '.join(KINDS)}.")
        if not 0 <= self.rate <= 1:
            raise ValueError(f"The rate of {self.kind!r} must lie between 0 and 1: {self.rate}.")
        if not _matching_routes(self.route):
            raise ValueError(f"No route {self.route!r}; there are {', '.join(ROUTES)}, data, *.")
        if not self.routes:
            possible = ", ".join(KINDS[self.kind].routes)
            raise ValueError(f"{self.kind!r} cannot apply to {self.route!r}, only {possible}.")
        for name in ("times", "wait", "size", "jobs"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name} of {self.kind!r} must be 0 or more: {value}.")

    @property
    def routes(self) -> tuple[str, ...]:
        """Routes to which the fault applies."""
        matching = _matching_routes(self.route)
        return tuple(route for route in KINDS[self.kind].routes if route in matching)

    @classmethod
    def data_only(cls, kind: str, rate: float, appliance: str = "*") -> Self:
        """Return a fault without login and logout, unless its kind applies only to these.

        Parameters
        ----------
        kind : str
            One of `KINDS`.
        rate : float
            Share of the requests, 0 to 1.
        appliance : str
            A name, or a glob pattern of names.

        Returns
        -------
        Fault
            Fault on all other routes.

        Examples
        --------
        >>> Fault.data_only("reset", 0.1).route, Fault.data_only("session_limit", 0.1).route
        ('data', '*')
        """
        possible = KINDS[kind].routes if kind in KINDS else DATA
        return cls(kind, rate, appliance, "*" if set(possible) <= set(SESSION) else "data")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a fault in the syntax of the command line.

        Parameters
        ----------
        text : str
            ``KIND=RATE``, ``KIND=RATE@APPLIANCE`` or ``KIND=RATE@APPLIANCE:ROUTE``. Without
            a route, login and logout are excluded.

        Returns
        -------
        Fault
            Validated fault.

        Raises
        ------
        ValueError
            If the text is invalid; the message gives the expected form.

        Examples
        --------
        >>> fault = Fault.parse("unavailable=0.2@vc-00*:job")
        >>> fault.kind, fault.rate, fault.appliance, fault.route
        ('unavailable', 0.2, 'vc-00*', 'job')
        """
        kind, _, rest = text.partition("=")
        number, at, target = rest.partition("@")
        appliance, colon, route = target.partition(":")
        try:
            rate = float(number)
        except ValueError:
            rate = None
        if rate is None or (at and not appliance) or (colon and not route):
            raise ValueError(f'"{text}" must be {FORM}, for example: reset=0.05@vc-00*:job')
        if colon:
            return cls(kind, rate, appliance, route)
        return cls.data_only(kind, rate, appliance or "*")


def _matching_routes(route: str) -> frozenset[str]:
    return frozenset(DATA if route == "data" else fnmatch.filter(ROUTES, route))


def mixed_faults(
    names: Iterable[str],
    share: float = 1 / 3,
    seed: int = 1,
    kinds: Sequence[str] = tuple(KINDS),
    *,
    wait: float | None = None,
    size: int | None = None,
) -> list[Fault]:
    """Return one persistent fault for each of a share of the appliances, of all kinds in turn.

    Parameters
    ----------
    names : iterable of str
        Names of the appliances.
    share : float
        Share of faulty appliances, 0 to 1; they are spread evenly.
    seed : int
        Shuffles the kinds.
    kinds : sequence of str
        Kinds to use; default: all.
    wait, size : float, int, optional
        As in `Fault`.

    Returns
    -------
    list of Fault
        One fault per faulty appliance, with its name as ``appliance``.

    Examples
    --------
    >>> faults = mixed_faults([f"vc-{n}" for n in range(6)], kinds=["reset", "page"])
    >>> sorted((fault.appliance, fault.rate) for fault in faults)
    [('vc-2', 1.0), ('vc-5', 1.0)]
    >>> sorted({fault.appliance: fault.kind for fault in faults}.values())
    ['page', 'reset']
    """
    if not 0 <= share <= 1:
        raise ValueError(f"The share of faulty appliances must lie between 0 and 1: {share}.")
    shuffled = seeded_rng(f"{seed}/mixed faults").sample(list(kinds), k=len(kinds))
    count = 0
    faults = []
    for number, name in enumerate(names, start=1):
        if round(number * share, 9) >= count + 1:
            faults.append(
                Fault(shuffled[count % len(shuffled)], appliance=name, wait=wait, size=size)
            )
            count += 1
    return faults


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


def route_of(request: "Request") -> str:
    """Return the route of a request, one of `ROUTES`."""
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
    """Faults of a fleet by precedence, and how often each was applied.

    A mapping from kind to rate excludes login and logout.
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
                    f"{fault.kind!r} is for {fault.appliance!r}, but no appliance has this name; "
                    f"the first one is {next(iter(names), None)!r}."
                )
            for name in targets:
                self._by_appliance.setdefault(name, []).append((fault, frozenset(fault.routes)))

    def of(self, name: str) -> list[Fault]:
        """Return the faults of one appliance, by precedence."""
        return [fault for fault, _ in self._by_appliance.get(name, ())]

    def select(self, name: str, request: "Request") -> Fault | None:
        """Return the first fault that applies to the next request of an appliance."""
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

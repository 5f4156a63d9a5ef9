"""Fault to inject: kind, rate, appliances and routes."""

import dataclasses
import fnmatch
from typing import Self

from backupkit.simulator.faults.kinds import DATA, KINDS, ROUTES, SESSION

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
            raise ValueError(f"{self.kind!r} cannot strike {self.route!r}, only {possible}.")
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

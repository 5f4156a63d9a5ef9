"""What goes wrong, with whom, where and how often."""

import dataclasses
import fnmatch
from typing import Self

from backupkit.simulator.faults.kinds import DATA, KINDS, ROUTES, SESSION

FORM = "KIND=RATE, KIND=RATE@APPLIANCE or KIND=RATE@APPLIANCE:ROUTE"


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One kind of trouble.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    rate : float
        Share of the requests that it strikes, 0 to 1. Kinds that change the content of jobs
        tell one story only at 1.
    appliance : str
        A name, or a glob pattern of names.
    route : str
        One of `ROUTES`, or a glob pattern of them; ``data``: all but log-in and log-out.
    times : int, optional
        So often on each appliance, and never again. None: no limit.
    wait : float, optional
        How late a ``slow`` answer is, or the pause between two bytes of a drip [s].
    retry_after : int or str, optional
        Header of ``unavailable`` and ``too_many`` [s], or a date, or nonsense.
    size : int, optional
        Length of a ``huge`` body, or of a ``bomb`` when decoded [bytes].
    jobs : int, optional
        How many jobs have wrong content. None: one, or one of each sort of odd ids.
    to : str
        Where ``redirect`` points.

    Raises
    ------
    ValueError
        For kinds, rates and routes that do not exist or do not go together.

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
        if not _covered(self.route):
            raise ValueError(f"No route {self.route!r}; there are {', '.join(ROUTES)}, data, *.")
        if not self.routes:
            able = ", ".join(KINDS[self.kind].routes)
            raise ValueError(f"{self.kind!r} cannot strike {self.route!r}, only {able}.")
        for name in ("times", "wait", "size", "jobs"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name} of {self.kind!r} must be 0 or more: {value}.")

    @property
    def routes(self) -> tuple[str, ...]:
        """The routes that it strikes."""
        covered = _covered(self.route)
        return tuple(route for route in KINDS[self.kind].routes if route in covered)

    @classmethod
    def spared(cls, kind: str, rate: float, appliance: str = "*") -> Self:
        """Make a fault that leaves log-in and log-out alone, unless it strikes nothing else.

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
            On all other routes.

        Examples
        --------
        >>> Fault.spared("reset", 0.1).route, Fault.spared("session_limit", 0.1).route
        ('data', '*')
        """
        able = KINDS[kind].routes if kind in KINDS else DATA
        return cls(kind, rate, appliance, "*" if set(able) <= set(SESSION) else "data")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a fault as the command line spells it.

        Parameters
        ----------
        text : str
            ``KIND=RATE``, ``KIND=RATE@APPLIANCE`` or ``KIND=RATE@APPLIANCE:ROUTE``. Without
            a route log-in and log-out are spared.

        Returns
        -------
        Fault
            Checked.

        Raises
        ------
        ValueError
            With a sentence that says what was expected.

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
        return cls.spared(kind, rate, appliance or "*")


def _covered(route: str) -> frozenset[str]:
    return frozenset(DATA if route == "data" else fnmatch.filter(ROUTES, route))

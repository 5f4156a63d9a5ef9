"""How much patience a round has, and how much it asks for at once."""

from dataclasses import dataclass, fields

from backupkit.errors import SettingsError

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait, how often to try, and how much to ask for at once.

    Attributes
    ----------
    connect : float
        For a connection to an appliance [s].
    read : float
        For the next bytes of an answer [s].
    answer : float
        For a whole answer, however steadily it drips [s].
    round : float
        For the whole round [s]; who was not read by then is named in `Snapshot.errors`.
    body : int
        The largest answer that is read [bytes]; VMware documents 7 MB for its API.
    tries : int
        How often one request is sent at most, when an appliance is busy or a connection breaks.
    backoff : float
        The first wait before another try is up to this long, each further one up to twice the
        one before [s].
    at_once : int
        Requests under way at the same time, over all appliances.
    per_appliance : int
        Requests under way at the same time on one appliance.

    Raises
    ------
    SettingsError
        If one of them is not above 0.

    Examples
    --------
    >>> Limits(round=120).round
    120
    >>> Limits(at_once=0)
    Traceback (most recent call last):
        ...
    backupkit.errors.SettingsError: limits: at_once must be above 0, got 0.
    """

    connect: float = 10.0
    read: float = 60.0
    answer: float = 300.0
    round: float = 900.0
    body: int = 64 * 2**20
    tries: int = 4
    backoff: float = 0.5
    at_once: int = 64
    per_appliance: int = 4

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if not value > 0:
                raise SettingsError(f"limits: {name} must be above 0, got {value}.")

"""The sample fleet: 90 days of backups of twelve simulated appliances, to try backupkit with."""

from datetime import UTC, datetime
from typing import Final, NamedTuple

from backupkit.history import History
from backupkit.inventory.example import EXAMPLE, find_data_folder
from backupkit.policy import Policy

__all__ = ["Sample", "sample"]

_NOW: Final = datetime(2026, 11, 23, 23, 30, tzinfo=UTC)


class Sample(NamedTuple):
    """A history, the policy of its fleet, and the time at which to evaluate it."""

    history: History
    policy: Policy
    now: datetime


def sample() -> Sample:
    """Open the sample history that comes with backupkit.

    Returns
    -------
    Sample
        The history, the policy of its twelve appliances, and the time of its newest data [UTC]. At
        the present time all of its appliances would be unknown.

    Notes
    -----
    The history is evaluated where it is installed, and is not changed. To append to it, copy it
    first: ``sample().history.backup("copy.db")``.

    Examples
    --------
    >>> history, policy, now = sample()
    >>> from backupkit import evaluate
    >>> evaluate(history, policy, last="30d", now=now).verdict.sentence
    '3 of 10 in scope breach their RPO, 1 unknown, 2 excluded'
    """
    folder = find_data_folder()
    return Sample(
        History(folder / "history.db", create=False),
        Policy.load(folder / EXAMPLE),
        _NOW,
    )

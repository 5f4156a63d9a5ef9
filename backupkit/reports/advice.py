"""Next steps for appliances in breach and for unreachable appliances."""

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd

from backupkit.display.format import format_timestamp

__all__ = ["for_breach", "for_unreachable"]

_BY_ERROR: Mapping[str, str] = MappingProxyType(
    {
        "unreachable": "Check that it is switched on, that its name resolves and that its HTTPS"
        " port answers from the collecting machine.",
        "certificate": "Compare its certificate with the one you expect; if it is right, name its"
        " authority (ca_bundle) or its fingerprint in fleet.toml.",
        "login": "Check user and password of its entry in fleet.toml; the account may be locked"
        " or its password expired.",
        "rights": "It knows the user but refuses the question: give the user the right to read"
        " backup jobs.",
        "credential": "Fix the password source of its entry in fleet.toml: it gave no password.",
        "not_found": "Check that the address is a vCenter Server Appliance, and its version: it"
        " does not know the backup API.",
        "busy": "Collect again in a few minutes; if it stays so, look for sessions left open.",
        "server": "Look at its services and logs: its API failed by itself.",
        "deadline": "Raise --deadline, or find out why the appliance responds slowly.",
        "stopped": "Collect again: the collection was stopped before this appliance was read.",
        "worker": "Look at the log of the worker that was to ask it, and collect again.",
        "payload": "See whether a proxy or a log-in page answers in its place: the answer was not"
        " the API's.",
    }
)


def for_unreachable(coverage: pd.Series) -> str:
    """Return the next step for an unreachable appliance.

    Parameters
    ----------
    coverage : Series
        Row of the appliance in `backupkit.tables.COVERAGE`.

    Returns
    -------
    str
        One sentence.

    Examples
    --------
    >>> from backupkit.tables import COVERAGE
    >>> for_unreachable(COVERAGE.frame({"appliance": ["vc-1"], "polls": [0]}).loc["vc-1"])
    'Collect it: it has never been visited (backupkit collect).'
    """
    error = coverage["error"]
    if isinstance(error, str):
        fallback = "Run backupkit doctor: it tries each step of a visit by itself."
        return _BY_ERROR.get(error, fallback)
    if pd.isna(coverage["last_poll"]):
        return "Collect it: it has never been visited (backupkit collect)."
    return (
        f"Collect again: the newest visit, {format_timestamp(coverage['last_poll'])} UTC, is too"
        " old to count (backupkit collect)."
    )


def for_breach(appliance: pd.Series, schedules: pd.DataFrame) -> str:
    """Return the next step for an appliance in breach or at risk.

    Parameters
    ----------
    appliance : Series
        Row of the appliance in `backupkit.tables.APPLIANCES`.
    schedules : DataFrame
        Rows of the appliance in `backupkit.tables.SCHEDULES`.

    Returns
    -------
    str
        One or two sentences.

    Examples
    --------
    >>> from backupkit.tables import APPLIANCES, SCHEDULES
    >>> row = APPLIANCES.frame({"appliance": ["vc-1"], "strikes": [0]}).loc["vc-1"]
    >>> for_breach(row, SCHEDULES.empty())
    'Create a schedule: none is known. Then start a backup by hand.'
    """
    if appliance["last_outcome"] == "open":
        return (
            f"A backup is running since {format_timestamp(appliance['last_attempt'])} UTC: collect"
            " again when it should be done."
        )
    if pd.notna(appliance["strikes"]) and appliance["strikes"] > 0:
        return "Fix the error in the latest message, then start a backup by hand."
    if schedules.empty:
        return "Create a schedule: none is known. Then start a backup by hand."
    if not schedules["enabled"].fillna(value=False).any():
        return (
            "Enable its schedule, or exclude it with a reason in fleet.toml. Until then start"
            " backups by hand."
        )
    if pd.notna(appliance["slots_missed_norun"]) and appliance["slots_missed_norun"] > 0:
        return (
            "Its schedule is enabled and yet a run did not start: compare schedule and clock in"
            " its management interface, then start a backup by hand."
        )
    return "Start a backup by hand, and compare its schedule with the policy's RPO."

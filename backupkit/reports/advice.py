"""Next steps for appliances in breach, and for those that were not fully read."""

from collections.abc import MutableMapping
from typing import NamedTuple

import pandas as pd

from backupkit.display.format import format_timestamp
from backupkit.errors import ADVICE
from backupkit.reports.rows import Row, iterate_rows

__all__ = [
    "NextStep",
    "advise_breach",
    "advise_unread",
    "describe_missing_data",
    "find_next_steps",
    "is_up_to_date",
    "shorten_repeated",
]

_LOG = "/var/log/vmware/applmgmt/backup.log"


def advise_unread(coverage: Row, at: pd.Timestamp) -> str:
    """Return the next step for an appliance that was not fully read.

    Parameters
    ----------
    coverage : Series or mapping
        Row of the appliance in `backupkit.tables.COVERAGE`.
    at : Timestamp
        The instant of its state.

    Returns
    -------
    str
        One sentence.

    Examples
    --------
    >>> from backupkit.tables import COVERAGE
    >>> row = COVERAGE.frame({"appliance": ["vc-1"], "polls": [0]}).loc["vc-1"]
    >>> advise_unread(row, pd.Timestamp("2026-11-09", tz="UTC"))
    'Collect it: it has never been polled (backupkit collect).'
    """
    error = coverage["error"]
    if isinstance(error, str):
        return ADVICE.get(error, "Run backupkit doctor: it checks each step of a poll.")
    if isinstance(coverage["schedules_error"], str):
        return "Collect again. If the error stays, save the schedule again on the appliance."
    if pd.isna(coverage["last_poll"]):
        return "Collect it: it has never been polled (backupkit collect)."
    if is_up_to_date(coverage, at):
        return ADVICE["partial"]
    return (
        f"Collect again: the newest poll, {format_timestamp(coverage['last_poll'])} UTC, is too"
        " old to count (backupkit collect)."
    )


def describe_missing_data(coverage: Row, at: pd.Timestamp) -> str:
    """Return what is missing at an instant of an appliance whose newest poll has no error."""
    if isinstance(coverage["schedules_error"], str):
        return "schedules not read"
    return "job not read" if is_up_to_date(coverage, at) else "not polled recently"


def is_up_to_date(coverage: Row, at: pd.Timestamp) -> bool:
    """Return whether the newest good poll counts at an instant: then only a job is not known."""
    return bool(coverage["known_until"] >= at)


class NextStep(NamedTuple):
    """Cause of a failure, "" if it is not known, and the next step: sentences."""

    cause: str
    step: str


def find_next_steps(
    jobs: pd.DataFrame, failures: pd.DataFrame, at: pd.Timestamp
) -> dict[str, NextStep]:
    """Return the cause and the next step for the newest failure of each appliance.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.ASSESSED_JOBS`.
    failures : DataFrame
        Of `backupkit.tables.FAILURES`.
    at : Timestamp
        Later failures are ignored.

    Returns
    -------
    dict of NextStep
        By appliance. Without a known cause, the step names the time of the job, as the appliance's
        log is what is left to read.
    """
    failed = jobs[(jobs["outcome"] == "failure") & (jobs["end_time"] <= at)]
    newest = failed.sort_values("end_time", kind="stable").drop_duplicates("appliance", keep="last")
    patterns = {row["signature"]: row for _, row in iterate_rows(failures)}
    steps = {}
    for name, signature, end in zip(
        newest["appliance"], newest["signature"], newest["end_time"], strict=True
    ):
        pattern = patterns.get(signature)
        if pattern is None:
            continue
        if pd.isna(pattern["cause_name"]):
            steps[str(name)] = NextStep(
                "", f"The cause is not known: read {_LOG} around {format_timestamp(end)} UTC."
            )
        else:
            steps[str(name)] = NextStep(pattern["cause"], pattern["next_step"])
    return steps


def shorten_repeated(
    advice: str, cause: str, name: str, first_names: MutableMapping[str, str]
) -> str:
    """Return advice, or a reference to the first appliance that has the same advice.

    Parameters
    ----------
    advice, cause : str
        The advice, and the cause that it begins with; "" if none is known.
    name : str
        Name of the appliance.
    first_names : dict of str
        The first appliance by advice; new advice is added.

    Examples
    --------
    >>> names = {}
    >>> for name in ("vc-1", "vc-2"):
    ...     print(shorten_repeated("Disk full. Free space.", "Disk full.", name, names))
    Disk full. Free space.
    Disk full. As for vc-1.
    """
    first = first_names.setdefault(advice, name)
    return advice if first == name else f"{cause} As for {first}.".lstrip()


def advise_breach(appliance: Row, schedules: pd.DataFrame, next_step: str | None = None) -> str:
    """Return the next step for an appliance in breach or at risk.

    Parameters
    ----------
    appliance : Series or mapping
        Row of the appliance in `backupkit.tables.APPLIANCES`.
    schedules : DataFrame
        Rows of the appliance in `backupkit.tables.SCHEDULES`.
    next_step : str, optional
        The next step for its newest failure, a sentence.

    Returns
    -------
    str
        A few sentences.

    Examples
    --------
    >>> from backupkit.tables import APPLIANCES, SCHEDULES
    >>> row = APPLIANCES.frame({"appliance": ["vc-1"], "strikes": [0]}).loc["vc-1"]
    >>> advise_breach(row, SCHEDULES.empty())
    'Create a schedule: none is known. Then start a backup by hand.'
    """
    if appliance["last_outcome"] == "open":
        return (
            f"A backup is running since {format_timestamp(appliance['last_attempt'])} UTC: collect"
            " again when it should be done."
        )
    if pd.notna(appliance["strikes"]) and appliance["strikes"] > 0:
        first = next_step or "Fix the error in the latest message."
        return f"{first} Then start a backup by hand."
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

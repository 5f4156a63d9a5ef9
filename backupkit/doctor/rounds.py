"""Checks of each step to each appliance, with the next step for a failed one: `doctor`.

The checks change nothing and store nothing. Text from an appliance is untrusted and shown on one
line. Passwords and tokens are never shown.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic, perf_counter
from typing import Final, TypeAlias

import pandas as pd
from tqdm.auto import tqdm

from backupkit.client import Limits
from backupkit.doctor import answers, way
from backupkit.doctor.finding import Finding, Typed, Visit, failure
from backupkit.errors import (
    BackupkitError,
    CredentialError,
    RightsError,
    one_line,
)
from backupkit.fleet import Appliance, Fleet, PasswordSource
from backupkit.tables import CHECKS

__all__ = ["doctor"]

WORKERS: Final = 64
"""Number of appliances that are checked concurrently."""

_LONGEST_FOUND: Final = 300
_LONGEST_ADVICE: Final = 1_000  # a fingerprint and two ways to use it

_Look: TypeAlias = Callable[[Visit], Finding]


def doctor(
    fleet: Fleet | Iterable[Appliance],
    *,
    limits: Limits | None = None,
    workers: int = WORKERS,
    progress: bool | None = None,
    clock: Callable[[], datetime] | None = None,
) -> pd.DataFrame:
    """Check for each appliance whether it can be read, and the data basis of its figures.

    Parameters
    ----------
    fleet : Fleet or iterable of Appliance
        Appliances to check.
    limits : Limits, optional
        Timeouts and attempts.
    workers : int
        Number of appliances that are checked concurrently.
    progress : bool, optional
        Whether to show a progress bar; default: in a terminal or a notebook.
    clock : callable, optional
        Returns the current time as an aware datetime; default: the system clock.

    Returns
    -------
    DataFrame
        Rows of `backupkit.tables.CHECKS`: the appliances in the order of `fleet`, with the same
        checks each. A check that needs a failed one is ``skipped``. Appliances do not affect each
        other.

    Examples
    --------
    >>> nowhere = PasswordSource("env", "NOT_SET_ANYWHERE")
    >>> off = Appliance(name="vc-1", host="127.0.0.1:1", user="u@v.local", password=nowhere)
    >>> checks = doctor([off])
    >>> checks[checks["result"] == "failed"][["check", "found"]].values.tolist()
    [['connection', '127.0.0.1:1 refused the connection: nothing listens there'],
     ['password', 'the environment variable NOT_SET_ANYWHERE is not set']]
    """
    appliances = list(fleet)
    limits = limits or Limits()
    now = clock or (lambda: datetime.now(UTC))
    typed = _ask_for_passwords(appliances)
    stop, due = threading.Event(), monotonic() + limits.round
    with (
        ThreadPoolExecutor(max_workers=max(1, min(workers, len(appliances)))) as pool,
        _stopped_early(pool, stop),
        tqdm(
            total=len(appliances),
            desc="Checking",
            unit="appliance",
            disable=None if progress is None else not progress,
        ) as bar,
    ):
        futures = [
            pool.submit(_examine, appliance, typed, limits, due, stop, now)
            for appliance in appliances
        ]
        for future in as_completed(futures):
            future.result()
            bar.update()
    columns = zip(*(row for future in futures for row in future.result()), strict=True)
    return CHECKS.frame(dict(zip(CHECKS.names, columns, strict=bool(appliances))))


@contextmanager
def _stopped_early(pool: ThreadPoolExecutor, stop: threading.Event) -> Iterator[None]:
    """Stop all checks if an error or Ctrl-C ends the run."""
    try:
        yield
    except BaseException:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def _ask_for_passwords(appliances: Sequence[Appliance]) -> Typed:
    """Prompt once for each password to be typed, before threads start."""
    wanted = {(one.password, one.user) for one in appliances if one.password.kind == "prompt"}
    typed: dict[tuple[PasswordSource, str], str | CredentialError] = {}
    for source, user in sorted(wanted, key=repr):
        try:
            typed[source, user] = source.read(user)
        except CredentialError as error:  # affects only the appliances with this password
            typed[source, user] = error
    return typed


def _examine(
    appliance: Appliance,
    typed: Typed,
    limits: Limits,
    due: float,
    stop: threading.Event,
    now: Callable[[], datetime],
) -> list[tuple[object, ...]]:
    """Run all checks of one appliance, and return the rows."""
    rows: list[tuple[object, ...]] = []
    unmet: dict[str, str] = {}  # failed or skipped check -> the check that caused it
    refused = False
    with ExitStack() as stack:
        visit = Visit(appliance, typed, limits, due, stop, now, stack)
        for check, needs, look in _STEPS:
            began = perf_counter()
            blamed = next((unmet[need] for need in needs if need in unmet), None)
            if blamed:
                finding = Finding("skipped", f"needs the {blamed}")
            else:
                try:
                    finding = look(visit)
                except RightsError as error:
                    finding = Finding("skipped", "refused, too") if refused else failure(error)
                    refused = True
                except BackupkitError as error:
                    finding = failure(error)
            if finding.result in {"failed", "skipped"}:
                unmet[check] = blamed or check
            rows.append(
                (
                    appliance.name,
                    check,
                    finding.result,
                    one_line(finding.found, limit=_LONGEST_FOUND),
                    finding.advice and one_line(finding.advice, limit=_LONGEST_ADVICE),
                    timedelta(seconds=perf_counter() - began),
                )
            )
    return rows


_STEPS: Final[tuple[tuple[str, tuple[str, ...], _Look], ...]] = (
    ("address", (), way.address),
    ("connection", ("address",), way.connection),
    ("certificate", ("connection",), way.certificate),
    ("password", (), way.password),
    ("log-in", ("certificate", "password"), way.log_in),
    ("job list", ("log-in",), answers.job_list),
    ("job details", ("job list",), answers.job_details),
    ("schedule", ("log-in",), answers.schedule),
    ("version", ("log-in",), answers.version),
    ("clock", ("certificate", "password"), answers.clock),
    ("time zone", ("log-in",), answers.zone),
)
"""Name, prerequisites and function of each check."""

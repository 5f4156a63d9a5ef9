"""Checks of each step to each appliance, with the next step for a failed one: `doctor`.

The checks change nothing and store nothing. Text from an appliance is untrusted and shown on one
line. Passwords and tokens are never shown.
"""

import functools
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from time import monotonic, perf_counter
from typing import Final, TypeAlias

import pandas as pd

from backupkit.client import Limits
from backupkit.diagnostics import api_checks, connection_checks, domain_check
from backupkit.diagnostics.connection_checks import (
    CheckContext,
    Finding,
    create_failed_finding,
)
from backupkit.diagnostics.discovery import Discovery
from backupkit.diagnostics.nodes import resolve_host
from backupkit.errors import BackupkitError, CredentialError, RightsError, one_line
from backupkit.fleet import Appliance, Fleet, limits_of
from backupkit.passwords import PasswordCache
from backupkit.progress import open_bar
from backupkit.tables import CHECKS

__all__ = ["diagnose", "doctor"]

WORKERS: Final = 64
"""Number of appliances that are checked concurrently."""

DOMAIN_CHECK: Final = "SSO domain"
_MAX_FOUND: Final = 300
_MAX_ADVICE: Final = 1_000  # a fingerprint and two ways to use it

_Check: TypeAlias = Callable[[CheckContext], Finding]


def doctor(
    fleet: Fleet | Iterable[Appliance],
    *,
    limits: Limits | None = None,
    known: Sequence[Appliance] | None = None,
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
        Timeouts and attempts; default: those of the fleet. The limits of an appliance count more.
    known : sequence of Appliance, optional
        Appliances to compare the nodes of the SSO domains with; default: all of a `Fleet`, disabled
        ones too. For other iterables there is no comparison by default.
    workers : int
        Number of appliances that are checked concurrently.
    progress : bool, optional
        Whether to show a progress bar; default: in a terminal or a notebook. In a log or a pipe,
        a long run then has a line each half minute.
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
    >>> from backupkit.passwords import PasswordSource
    >>> nowhere = PasswordSource("env", "NOT_SET_ANYWHERE")
    >>> off = Appliance(name="vc-1", host="127.0.0.1:1", user="u@v.local", password=nowhere)
    >>> checks = doctor([off])
    >>> checks[checks["result"] == "failed"][["check", "found"]].values.tolist()
    [['connection', '127.0.0.1:1 refused the connection: no service listens there'],
     ['secret', 'the environment variable NOT_SET_ANYWHERE is not set']]
    """
    if known is None and isinstance(fleet, Fleet):
        known = fleet.appliances
    checks, _ = diagnose(
        fleet, limits=limits, known=known, workers=workers, progress=progress, clock=clock
    )
    return checks


def diagnose(
    fleet: Fleet | Iterable[Appliance],
    *,
    limits: Limits | None = None,
    known: Sequence[Appliance] | None = None,
    workers: int = WORKERS,
    progress: bool | None = None,
    clock: Callable[[], datetime] | None = None,
) -> tuple[pd.DataFrame, Discovery]:
    """Return the checks of `doctor`, and the nodes of the SSO domains that they have read.

    Without `known`, there is no comparison, and the domains are unread.
    """
    appliances = list(fleet)
    limits = limits_of(fleet, limits)
    resolve = functools.cache(resolve_host)  # for all appliances
    now = clock or (lambda: datetime.now(UTC))
    passwords = _prompt_for_passwords(appliances)
    stop, deadline = threading.Event(), monotonic() + limits.deadline
    contexts = [
        CheckContext(
            appliance,
            passwords,
            limits.override(appliance.limits),
            deadline,
            stop,
            now,
            known,
            resolve,
        )
        for appliance in appliances
    ]
    with (
        ThreadPoolExecutor(max_workers=max(1, min(workers, len(appliances)))) as pool,
        open_bar(len(appliances), "Checking", progress=progress) as bar,
    ):
        try:
            futures = [pool.submit(_check_appliance, context) for context in contexts]
            for future in as_completed(futures):
                future.result()
                bar.update()
        except BaseException:  # Ctrl-C, too
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    columns = zip(*(row for future in futures for row in future.result()), strict=True)
    checks = CHECKS.frame(dict(zip(CHECKS.names, columns, strict=bool(appliances))))
    return checks, _list_nodes(contexts, checks, known or ())


def _list_nodes(
    contexts: Sequence[CheckContext], checks: pd.DataFrame, known: Sequence[Appliance]
) -> Discovery:
    """Return the nodes that the checks have read, and why they are unknown elsewhere."""
    domain_checks = checks[checks["check"] == DOMAIN_CHECK].set_index("appliance")["found"]
    lists = {one.appliance.name: one.nodes for one in contexts if one.nodes is not None}
    unread = {str(name): text for name, text in domain_checks.items() if name not in lists}
    return Discovery.of(lists, unread, {}, known=known)


def _prompt_for_passwords(appliances: Sequence[Appliance]) -> PasswordCache:
    """Prompt once for each secret to be typed, before threads start; return all secrets."""
    sources = {
        (appliance.password, appliance.account)
        for appliance in appliances
        if appliance.password.kind == "prompt"
    }
    passwords = PasswordCache()
    for source, user in sorted(sources, key=repr):
        with suppress(CredentialError):  # affects only the appliances with this password
            passwords.read(source, user)
    return passwords


def _check_appliance(context: CheckContext) -> list[tuple[object, ...]]:
    """Run all checks of one appliance, and return the rows."""
    rows: list[tuple[object, ...]] = []
    failed_checks: dict[str, str] = {}  # failed or skipped check -> the check that caused it
    was_refused = False
    with context.stack:
        for check, needs, run in _CHECKS:
            began = perf_counter()
            failed_prerequisite = next(
                (failed_checks[need] for need in needs if need in failed_checks), None
            )
            if failed_prerequisite:
                finding = Finding("skipped", f"needs the {failed_prerequisite}")
            else:
                try:
                    finding = run(context)
                except RightsError as error:
                    finding = (
                        Finding("skipped", "refused as well")
                        if was_refused
                        else create_failed_finding(error)
                    )
                    was_refused = True
                except BackupkitError as error:
                    finding = create_failed_finding(error)
            if finding.result in {"failed", "skipped"}:
                failed_checks[check] = failed_prerequisite or check
            rows.append(
                (
                    context.appliance.name,
                    check,
                    finding.result,
                    one_line(finding.found, limit=_MAX_FOUND),
                    finding.advice and one_line(finding.advice, limit=_MAX_ADVICE),
                    timedelta(seconds=perf_counter() - began),
                )
            )
    return rows


_CHECKS: Final[tuple[tuple[str, tuple[str, ...], _Check], ...]] = (
    ("address", (), connection_checks.check_address),
    ("connection", ("address",), connection_checks.check_connection),
    ("certificate", ("connection",), connection_checks.check_certificate),
    ("secret", (), connection_checks.check_secret),
    ("log-in", ("certificate", "secret"), connection_checks.check_login),
    ("job list", ("log-in",), api_checks.check_job_list),
    ("job details", ("job list",), api_checks.check_job_details),
    ("schedule", ("log-in",), api_checks.check_schedule),
    ("version", ("log-in",), api_checks.check_version),
    ("clock", ("certificate", "secret"), api_checks.check_clock),
    ("time zone", ("log-in",), api_checks.check_time_zone),
    (DOMAIN_CHECK, ("log-in",), domain_check.check_domain),
)
"""Name, prerequisites and function of each check."""

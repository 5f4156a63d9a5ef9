"""doctor(): look at every step of the way to each appliance, and say what to do where one fails.

It changes nothing and keeps nothing. What an appliance says is untrusted and shown on one line;
what opens it, password and token, is never shown.
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
"""How many appliances are looked at, at once."""

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
    """Check for each appliance whether it can be read, and what its figures will rest on.

    Parameters
    ----------
    fleet : Fleet or iterable of Appliance
        Whom to look at.
    limits : Limits, optional
        How long to wait, and how often to try.
    workers : int
        How many appliances are looked at, at once.
    progress : bool, optional
        Whether to show a progress bar; by default where a person looks: a terminal or a notebook.
    clock : callable, optional
        Gives the present as an aware datetime; by default the machine's clock.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.CHECKS`: the appliances in the order of `fleet`, and of each the same
        checks. One that needs a failed one is ``skipped``; one appliance never spoils another's.

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
    """Let nobody start anything more once an error or Ctrl-C ends the round."""
    try:
        yield
    except BaseException:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def _ask_for_passwords(appliances: Sequence[Appliance]) -> Typed:
    """Prompt once for each user whose password a person types, before threads start."""
    wanted = {(one.password, one.user) for one in appliances if one.password.kind == "prompt"}
    typed: dict[tuple[PasswordSource, str], str | CredentialError] = {}
    for source, user in sorted(wanted, key=repr):
        try:
            typed[source, user] = source.read(user)
        except CredentialError as error:  # that of those appliances alone
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
    """Make all checks of one appliance; gives the rows."""
    rows: list[tuple[object, ...]] = []
    unmet: dict[str, str] = {}  # what cannot be built upon, and the check that is to blame
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
"""Each check, what it builds upon, and how it is made."""

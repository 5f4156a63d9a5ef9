"""collect(): ask every appliance of a fleet at once, and keep what each said.

One bad appliance is one row in `Snapshot.errors` and `Snapshot.polls`, never an exception.
"""

import html
import logging
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import perf_counter

import pandas as pd
from tqdm.auto import tqdm

from backupkit import wire
from backupkit.client import ApplianceClient
from backupkit.errors import (
    ApplianceError,
    BackupkitError,
    BackupkitWarning,
    NotFoundError,
    PayloadError,
    ServerError,
)
from backupkit.fleet import Appliance, Fleet, PasswordSource
from backupkit.tables import (
    ERRORS,
    JOBS,
    OBSERVATIONS,
    OUTCOMES,
    POLLS,
    SCHEDULES,
    jobs_from,
    outcome_of,
)

__all__ = ["Snapshot", "collect"]

_log = logging.getLogger(__name__)

WORKERS = 64
"""How many appliances are asked at once."""

ASK_ALL_ABOVE = 200
"""With more new jobs than this, details of all jobs in one request beat naming them."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Everything one `collect` brought back.

    Attributes
    ----------
    observations : DataFrame
        Of `backupkit.tables.OBSERVATIONS`.
    polls : DataFrame
        Of `backupkit.tables.POLLS`: one row per appliance.
    schedules : DataFrame
        Of `backupkit.tables.SCHEDULES`.
    errors : DataFrame
        Of `backupkit.tables.ERRORS`: one row per failed appliance, and per thing that could not be
        read of the others.
    """

    observations: pd.DataFrame
    polls: pd.DataFrame
    schedules: pd.DataFrame
    errors: pd.DataFrame

    @property
    def jobs(self) -> pd.DataFrame:
        """The jobs that were read, of `backupkit.tables.JOBS`."""
        return jobs_from(self.observations)

    def __repr__(self) -> str:
        read, asked = int(self.polls["ok"].sum()), len(self.polls)
        jobs = len(self.observations)
        plural = "" if asked == 1 else "s"
        return f"Snapshot: {read} of {asked} appliance{plural} read, {jobs} jobs new or unfinished"

    def _repr_html_(self) -> str:
        text = f"<p>{html.escape(repr(self))}</p>"
        return text + (self.errors.to_html(escape=True, index=False) if len(self.errors) else "")


@dataclass
class _Visit:
    """What one visit brought back, before it becomes rows."""

    appliance: str
    polled_at: datetime
    error: BackupkitError | None = None
    jobs: list[wire.Job] = field(default_factory=list)
    jobs_listed: int | None = None
    schedules: dict[str, wire.Schedule] = field(default_factory=dict)
    timezone: str | None = None
    version: str | None = None
    flavour: wire.Flavour | None = None
    requests: int = 0
    elapsed: timedelta = timedelta(0)
    clock_skew: timedelta | None = None
    troubles: list[tuple[str, str, str | None]] = field(default_factory=list)


def collect(
    fleet: Fleet | Iterable[Appliance],
    *,
    known: pd.DataFrame | None = None,
    workers: int = WORKERS,
    progress: bool | None = None,
    clock: Callable[[], datetime] | None = None,
) -> Snapshot:
    """Ask every appliance for its backup jobs and schedules.

    Parameters
    ----------
    fleet : Fleet or iterable of Appliance
        Whom to ask.
    known : DataFrame, optional
        Of `backupkit.tables.JOBS`, as `History.jobs` gives it: jobs finished there are not asked
        for again.
    workers : int
        How many appliances are asked at once.
    progress : bool, optional
        Whether to show a progress bar; by default where a person looks: a terminal or a notebook.
    clock : callable, optional
        Gives the present as an aware datetime; by default the machine's clock.

    Returns
    -------
    Snapshot
        What they said. An appliance that could not be read is a row in ``errors`` and ``polls``.

    Warns
    -----
    BackupkitWarning
        If no appliance at all could be read, or a job has a state never seen before.
    """
    appliances = list(fleet)
    now = clock or (lambda: datetime.now(UTC))
    finished = _finished(known)
    asked = _ask_for_passwords(appliances)
    visits: dict[str, _Visit] = {}
    with (
        ThreadPoolExecutor(max_workers=max(1, min(workers, len(appliances)))) as pool,
        tqdm(
            total=len(appliances), desc="Collecting", unit="appliance", disable=_hidden(progress)
        ) as bar,
    ):
        futures = [
            pool.submit(_visit, appliance, asked, finished.get(appliance.name, frozenset()), now)
            for appliance in appliances
        ]
        failed = jobs = 0
        for future in as_completed(futures):
            visit = future.result()
            visits[visit.appliance] = visit
            failed += visit.error is not None
            jobs += len(visit.jobs)
            bar.set_postfix(failed=failed, jobs=jobs, refresh=False)
            bar.update()
    snapshot = _snapshot([visits[appliance.name] for appliance in appliances])
    _warn(snapshot)
    return snapshot


def _hidden(progress: bool | None) -> bool | None:  # noqa: FBT001 # mirrors tqdm's own switch
    """Turn our switch into tqdm's, where None means: hidden unless a person looks."""
    return None if progress is None else not progress


def _finished(known: pd.DataFrame | None) -> Mapping[str, frozenset[str]]:
    """Give the ids of the finished jobs by appliance."""
    if known is None:
        return {}
    JOBS.check(known)
    done = known[known["outcome"].isin(["success", "failure"])]
    return {str(name): frozenset(ids) for name, ids in done.groupby("appliance")["job_id"]}


def _ask_for_passwords(appliances: Sequence[Appliance]) -> Mapping[tuple[PasswordSource, str], str]:
    """Prompt once for each user whose password a person types, before threads start."""
    wanted = {(one.password, one.user) for one in appliances if one.password.kind == "prompt"}
    return {(source, user): source.read(user) for source, user in sorted(wanted, key=repr)}


def _visit(
    appliance: Appliance,
    asked: Mapping[tuple[PasswordSource, str], str],
    finished: frozenset[str],
    clock: Callable[[], datetime],
) -> _Visit:
    """Visit one appliance; whatever goes wrong becomes part of what the visit brought back."""
    visit = _Visit(appliance.name, clock())
    began = perf_counter()
    client: ApplianceClient | None = None
    try:
        source = appliance.password
        password = asked.get((source, appliance.user)) or source.read(appliance.user)
        client = ApplianceClient(appliance, password, clock=clock)
        with client:
            _read(client, visit, finished)
    except BackupkitError as error:
        visit.error = error
        visit.jobs.clear()  # half a visit would pass for a whole one
        _log.info("%s could not be read: %s", appliance.name, error)
    if client is not None:
        visit.requests, visit.flavour = client.requests, client.flavour
        visit.clock_skew = client.clock_skew
    visit.elapsed = timedelta(seconds=perf_counter() - began)
    return visit


def _read(client: ApplianceClient, visit: _Visit, finished: frozenset[str]) -> None:
    """Read what is new on one appliance."""
    listed = client.job_ids()
    visit.jobs_listed = len(listed)
    wanted = [job_id for job_id in listed if job_id not in finished]
    if wanted:
        _read_jobs(client, visit, wanted, everything=len(wanted) == len(listed))
    try:
        visit.schedules, spoiled = client.schedules()
        visit.troubles += [("payload", why, None) for why in spoiled.values()]
    except NotFoundError:
        _log.info("%s has no schedules to read: older than 6.7", visit.appliance)
    except ApplianceError as error:
        visit.troubles.append((error.kind, str(error), None))
    for name in ("timezone", "version"):
        try:
            setattr(visit, name, getattr(client, name)())
        except ApplianceError as error:
            visit.troubles.append((error.kind, str(error), None))


def _read_jobs(
    client: ApplianceClient, visit: _Visit, wanted: Sequence[str], *, everything: bool
) -> None:
    """Read jobs by details where there are any, the rest one by one."""
    remaining = dict.fromkeys(wanted)
    in_one = everything or len(wanted) > ASK_ALL_ABOVE
    try:
        for jobs, spoiled in client.details(() if in_one else wanted):
            visit.jobs += [job for job in jobs if job.job_id in remaining]
            visit.troubles += [
                ("payload", why, job_id) for job_id, why in spoiled.items() if job_id in remaining
            ]
            for job_id in [*(job.job_id for job in jobs), *spoiled]:
                remaining.pop(job_id, None)
    except (NotFoundError, ServerError) as error:
        _log.info("%s gives no details, asking job by job: %s", visit.appliance, error)
    for job_id in remaining:
        try:
            visit.jobs.append(client.job(job_id))
        except NotFoundError:
            _log.info("%s removed job %s during the visit", visit.appliance, job_id)
        except PayloadError as error:
            visit.troubles.append((error.kind, str(error), job_id))


def _snapshot(visits: Sequence[_Visit]) -> Snapshot:
    """Turn visits into frames, column by column."""
    jobs = [(visit, job) for visit in visits for job in visit.jobs]
    plans = [
        (visit, name, plan) for visit in visits for name, plan in sorted(visit.schedules.items())
    ]
    troubles = [
        (visit.appliance, *trouble)
        for visit in visits
        for trouble in (
            [(visit.error.kind, str(visit.error), None)] if visit.error else visit.troubles
        )
    ]
    observations = OBSERVATIONS.frame(
        {
            "appliance": [visit.appliance for visit, _ in jobs],
            "observed_at": [visit.polled_at for visit, _ in jobs],
            "messages": [[_message(message) for message in job.messages] for _, job in jobs],
            **{
                name: [getattr(job, name) for _, job in jobs]
                for name in OBSERVATIONS.names
                if name not in {"appliance", "observed_at", "messages"}
            },
        }
    )
    polls = POLLS.frame(
        {
            "ok": [visit.error is None for visit in visits],
            "error": [visit.error.kind if visit.error else None for visit in visits],
            "detail": [str(visit.error) if visit.error else None for visit in visits],
            "api": [visit.flavour for visit in visits],
            "jobs_changed": [None if visit.error else len(visit.jobs) for visit in visits],
            **{
                name: [getattr(visit, name) for visit in visits]
                for name in POLLS.names
                if name not in {"ok", "error", "detail", "api", "jobs_changed"}
            },
        }
    )
    schedules = SCHEDULES.frame(
        {
            "appliance": [visit.appliance for visit, _, _ in plans],
            "schedule": [name for _, name, _ in plans],
            "seen_at": [visit.polled_at for visit, _, _ in plans],
            "enabled": [plan.enable for _, _, plan in plans],
            "hour": [plan.recurrence_info and plan.recurrence_info.hour for _, _, plan in plans],
            "minute": [
                plan.recurrence_info and plan.recurrence_info.minute for _, _, plan in plans
            ],
            "days": [plan.recurrence_info and plan.recurrence_info.days for _, _, plan in plans],
            "timezone": [visit.timezone for visit, _, _ in plans],
            "max_count": [
                plan.retention_info and plan.retention_info.max_count for _, _, plan in plans
            ],
            "location": [plan.location for _, _, plan in plans],
            "parts": [plan.parts for _, _, plan in plans],
        }
    )
    errors = ERRORS.frame(
        dict(
            zip(
                ["appliance", "error", "detail", "job_id"], zip(*troubles, strict=True), strict=True
            )
        )
        if troubles
        else {}
    )
    return Snapshot(observations, polls, schedules, errors)


def _message(message: wire.Message) -> dict[str, object]:
    return {
        "id": message.id,
        "default_message": message.default_message,
        "args": [str(argument) for argument in message.args],
        "localized": message.localized,
    }


def _warn(snapshot: Snapshot) -> None:
    """Say aloud what a glance at the frames could miss."""
    if len(snapshot.polls) and not snapshot.polls["ok"].any():
        reasons = ", ".join(sorted(set(snapshot.polls["error"].dropna())))
        warnings.warn(
            f"None of {len(snapshot.polls)} appliances could be read ({reasons}); "
            "look at .errors for each one's reason.",
            BackupkitWarning,
            stacklevel=3,
        )
    status = snapshot.observations["status"]
    unknown = sorted(set(status[outcome_of(status) == OUTCOMES[-1]]))
    if unknown:
        warnings.warn(
            f"Jobs with a state never seen before: {', '.join(word[:40] for word in unknown[:5])}. "
            "They are kept and counted neither as success nor as failure.",
            BackupkitWarning,
            stacklevel=3,
        )

"""Assessment on a Dask cluster, for a history that is too large for one process.

Each worker reads some appliances from the database or from an export. It assesses them with the
same functions as a single process, and returns only the results.
"""

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from backupkit import analysis
from backupkit.assessment import Assessment
from backupkit.assessment.context import EvaluationContext, Period
from backupkit.assessment.evaluation import as_of
from backupkit.assessment.partial import PartialAssessment
from backupkit.errors import SettingsError
from backupkit.history import History
from backupkit.history.exchange import is_export
from backupkit.history.export_reader import Export
from backupkit.history.stored import to_microseconds
from backupkit.policy import Policy
from backupkit.settings import Instant, time_zone
from backupkit.tables import (
    JOBS,
    OBSERVATIONS,
    POLLS,
    SCHEDULES,
    HistoryView,
    SeenNode,
    Table,
    jobs_from,
)

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["evaluate_dask"]

_ROWS_PER_PARTITION: Final = 1_000_000
"""Target number of jobs and polls per partition."""

_SELECTION_COLUMNS: Final[Mapping[str, list[str]]] = {
    "jobs": [
        "appliance",
        "outcome",
        "start_time",
        "end_time",
        "first_seen_at",
        "last_seen_at",
        "vanished_at",
        "size",
        "type",
        "location",
        "month",
    ],
    "polls": [
        *("appliance", "polled_at", "ok", "jobs_unread", "schedules_read", "schedules_error"),
        *("details", "clock_skew", "month"),
    ],
}
"""Columns that decide which rows an assessment needs."""

_ROW: Final = "row"


def evaluate_dask(  # noqa: PLR0913 # the arguments of evaluate, and two
    source: History | str | Path,
    policy: Policy,
    *,
    start: Instant | None = None,
    end: Instant | None = None,
    now: Instant | None = None,
    last: str | timedelta | None = None,
    month: str | None = None,
    quarter: str | None = None,
    timezone: str | None = None,
    as_if: bool = False,
    client: "Client | None" = None,
    partitions: int | None = None,
) -> Assessment:
    """Assess a fleet over a period on several workers.

    Parameters
    ----------
    source : History, str or Path
        A history, or its path or URL; or the folder or URL of a Parquet export. Every worker must
        reach it by the same name: a database, a share, an object store.
    policy, start, end, now, last, month, quarter, timezone, as_if
        As in `backupkit.evaluate`. All workers use the data known at `now`, even while others
        append.
    client : distributed.Client, optional
        Dask cluster. Without one, this process assesses one partition after the other, with the
        memory of one partition.
    partitions : int, optional
        Number of partitions of the fleet; default: about a million jobs and polls each, but at
        least one partition per worker.

    Returns
    -------
    Assessment
        As that of `backupkit.evaluate`, with the same verdicts and frames.

    Raises
    ------
    SettingsError
        As in `backupkit.evaluate`; or if `partitions` is below 1.
    HistoryError
        If the source is neither a history nor an export, or cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from backupkit import History, Policy
    >>> history = History(tempfile.mkdtemp() + "/history.db")
    >>> evaluate_dask(history, Policy(), last="7d").verdict.state
    'unknown'
    """
    if partitions is not None and partitions < 1:
        raise SettingsError(f"partitions must be 1 or more, got {partitions}.")
    zone = time_zone(timezone or policy.report_timezone, where="timezone").key
    times = Period.from_options(
        start=start, end=end, now=now, last=last, month=month, quarter=quarter, zone=zone
    )
    uri = source.uri if isinstance(source, History) else str(source)
    uri = uri if "://" in uri else str(Path(uri).absolute())  # workers may run in another folder
    data_source = _source_of(source)
    rows = data_source.appliances(times.now)
    setting = replace(
        EvaluationContext.of(policy, rows, times, as_if=as_if),
        domain_nodes=data_source.domain_nodes(),
        fleet_hosts=policy.fleet_hosts,
    )
    sizes = pd.Series(rows, dtype="int64").reindex(setting.resolved_policy.index, fill_value=0)
    workers = 1 if client is None else len(client.nthreads())  # type: ignore[no-untyped-call]
    count = partitions or max(workers, 1 + int(sizes.sum()) // _ROWS_PER_PARTITION)
    name_groups = _partition(sizes, count)
    version = data_source.version(times.now) or analysis.data_fingerprint(POLLS.empty())
    assess_one = functools.partial(_assess_partition, uri, version)
    settings = (setting.only(names) for names in name_groups)
    parts = (
        map(assess_one, settings)
        if client is None
        else _map_partitions(client, assess_one, settings)
    )
    return Assessment(context=setting, parts=[*parts], version=version)


def _map_partitions(
    client: "Client",
    assess: Callable[[EvaluationContext], PartialAssessment],
    settings: Iterable[EvaluationContext],
) -> Iterator[PartialAssessment]:
    """Assess partitions on the workers; fetch and release each result when it is done."""
    from distributed import as_completed  # noqa: PLC0415 # optional dependency

    futures = [client.submit(assess, setting, pure=False) for setting in settings]
    for future in as_completed(futures):  # type: ignore[no-untyped-call]
        yield future.result()
        future.release()


def _partition(sizes: pd.Series, count: int) -> list[pd.Index]:
    """Split appliances, in order, into at most `count` partitions of similar row count."""
    cumulative = (sizes + 1).cumsum()  # + 1: appliances without rows count, too
    total = max(int(cumulative.max()), 1) if len(cumulative) else 1
    groups = np.minimum((cumulative.to_numpy() - 1) * count // total, count - 1)
    return [sizes.index[groups == group] for group in np.unique(groups)] or [sizes.index]


def _assess_partition(uri: str, version: str, setting: EvaluationContext) -> PartialAssessment:
    """Read and assess some appliances; runs on a worker."""
    source = _cached_source(uri, version)
    times = setting.period
    hosts = setting.policy.hosts
    known = source.view(setting.resolved_policy.index, times, hosts)
    restricted = _restrict(as_of(known, times.now), times, hosts)
    return PartialAssessment(restricted, setting).computed()


class _Source(Protocol):
    """Data source of the workers."""

    def appliances(self, moment: pd.Timestamp) -> dict[str, int]:
        """Return the number of jobs and polls of each appliance known at a moment."""

    def version(self, moment: pd.Timestamp) -> str:
        """Return the digest of the data known at a moment; "" without data."""

    def domain_nodes(self) -> tuple[SeenNode, ...]:
        """Return the nodes of the SSO domains, as last read."""

    def view(
        self, appliances: Collection[str], times: Period, hosts: Mapping[str, str]
    ) -> HistoryView:
        """Return the data that an assessment of some appliances needs."""


@functools.lru_cache(maxsize=8)
def _cached_source(uri: str, _version: str) -> _Source:
    """Open a source once per process, and again after a change."""
    return _source_of(uri)


def _source_of(source: History | str | Path) -> _Source:
    if isinstance(source, History):
        return _Database(source)
    if is_export(source):
        export = Export(source)
        export.check()
        return _Files(export)
    return _Database(History(source, create=False))


@dataclass(frozen=True, slots=True)
class _Database:
    """Data source: a history."""

    history: History

    def appliances(self, moment: pd.Timestamp) -> dict[str, int]:
        until = to_microseconds(moment)
        seen = " OR ".join(
            f"EXISTS (SELECT 1 FROM {row} WHERE r.appliance_id = a.id AND {time} <= {until})"  # noqa: S608 # our own
            for row, time in (
                ("polls r", "r.polled_at"),
                ("jobs r", "r.first_seen_at"),
                ("schedules r", "r.seen_at"),
            )
        )
        query = f"SELECT a.name, a.jobs + a.polls AS size FROM appliances a WHERE {seen}"  # noqa: S608 # our own
        rows = self.history.sql(query)
        return dict(zip(rows["name"], rows["size"].astype("int64"), strict=True))

    def version(self, moment: pd.Timestamp) -> str:
        return self.history.view(at=moment, appliances=()).version or ""

    def domain_nodes(self) -> tuple[SeenNode, ...]:
        return self.history.domain_nodes.read()

    def view(
        self, appliances: Collection[str], times: Period, hosts: Mapping[str, str]
    ) -> HistoryView:
        return self.history.view(
            at=times.now,
            appliances=appliances,
            start=times.start,
            end=times.end,
            now=times.now,
            hosts=hosts,
        )


@dataclass(frozen=True, slots=True)
class _Files:
    """Data source: a Parquet export."""

    export: Export

    def appliances(self, moment: pd.Timestamp) -> dict[str, int]:
        until = to_microseconds(moment)
        return {
            name: share.jobs + share.polls
            for name, share in self.export.manifest.appliances.items()
            if share.first_at is not None and share.first_at <= until
        }

    def version(self, moment: pd.Timestamp) -> str:
        entries = self.export.read("appends", columns=["kind", "earliest_at", "digest"])
        is_addition = pc.is_in(entries["kind"], pa.array(["append", "import"]))
        until = pc.less_equal(entries["earliest_at"], to_microseconds(moment))
        digests = entries.filter(pc.and_(is_addition, until))["digest"].to_pylist()
        return str(digests[-1]) if digests else ""

    def domain_nodes(self) -> tuple[SeenNode, ...]:
        return ()  # an export has none

    def view(
        self, appliances: Collection[str], times: Period, hosts: Mapping[str, str]
    ) -> HistoryView:
        past = (self.export.manifest.latest_at or 0) > to_microseconds(times.now)
        polls = _SelectedRows(self.export, POLLS, appliances, _until("polled_at", times.now))
        plans = self.export.read(
            "schedules", appliances=appliances, wanted=_until("seen_at", times.now)
        )
        known = HistoryView(JOBS.empty(), polls.narrow, SCHEDULES.from_arrow(plans))
        if past:
            wanted = _until("observed_at", times.now)
            rows = self.export.read("observations", appliances=appliances, wanted=wanted)
            known = _restrict(
                replace(known, jobs=jobs_from(OBSERVATIONS.from_arrow(rows))), times, hosts
            )
        else:
            jobs = _SelectedRows(self.export, JOBS, appliances)
            # a few columns are enough to select rows; the long job ids are never missing
            known = _restrict(replace(known, jobs=jobs.narrow.assign(job_id="")), times, hosts)
            known = replace(known, jobs=jobs.full_rows(known.jobs[_ROW]))
        return replace(known, polls=polls.full_rows(known.polls[_ROW]))


def _restrict(known: HistoryView, times: Period, hosts: Mapping[str, str]) -> HistoryView:
    return analysis.restrict_to_period(
        known, start=times.start, end=times.end, now=times.now, hosts=hosts
    )


def _until(column: str, moment: pd.Timestamp) -> ds.Expression:
    """Return the filter for rows known at a moment."""
    return ds.field(column) <= pa.scalar(to_microseconds(moment), pa.timestamp("us", tz="UTC"))


class _SelectedRows:
    """Rows of an export: first all rows with few columns, then some rows with all columns.

    Attributes
    ----------
    narrow : DataFrame
        All rows with the columns `_SELECTION_COLUMNS`, and their positions.
    """

    def __init__(
        self,
        export: Export,
        table: Table,
        appliances: Collection[str],
        wanted: ds.Expression | None = None,
    ) -> None:
        self._export, self._table = export, table
        self._appliances, self._wanted = appliances, wanted
        rows = export.read(
            table.name, columns=_SELECTION_COLUMNS[table.name], appliances=appliances, wanted=wanted
        )
        self._months = rows["month"]
        narrow = {
            column.name: column.to_series(column.load(rows[column.name]))
            for column in table
            if column.name in rows.column_names
        }
        self.narrow = pd.DataFrame({**narrow, _ROW: np.arange(len(rows))}, copy=False)

    def full_rows(self, positions: pd.Series) -> pd.DataFrame:
        """Return the rows at some positions with all columns."""
        indices = positions.to_numpy()
        months = pc.unique(self._months.take(pa.array(indices)))
        in_months = pc.is_in(self._months, months).to_numpy()
        wanted = ds.field("month").isin(months)
        rows = self._export.read(
            self._table.name,
            appliances=self._appliances,
            wanted=wanted if self._wanted is None else wanted & self._wanted,
        )
        new_position = np.cumsum(in_months) - 1
        return self._table.from_arrow(rows.take(pa.array(new_position[indices])))

"""Reading the tables of a history as frames."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from backupkit.errors import one_line
from backupkit.history.databases import Reader
from backupkit.history.rows import find_appliance_ids, to_frame
from backupkit.history.schema import LIST_READ
from backupkit.history.stored import build_select_list, to_microseconds
from backupkit.settings import Instant, parse_instant
from backupkit.tables import (
    JOBS,
    OBSERVATIONS,
    POLLS,
    SCHEDULES,
    HistoryView,
    Table,
    drop_repeated_schedules,
    jobs_from,
    measure_durations,
)

__all__ = [
    "Filter",
    "add_durations",
    "find_head",
    "format_info",
    "has_newer_rows",
    "parse_microseconds",
    "read_info",
    "read_jobs",
    "read_observations",
    "read_table",
    "read_view",
]

_TIMES: Final = {"polls": "polled_at", "schedules": "seen_at"}


@dataclass(frozen=True, slots=True)
class Filter:
    """Selection of rows: known by `at`, learnt since `since` [us since 1970], of appliances."""

    at: int | None = None
    since: int | None = None
    appliances: tuple[str, ...] | None = None

    @classmethod
    def parse(
        cls,
        *,
        at: Instant | None = None,
        since: Instant | None = None,
        appliances: Iterable[str] | None = None,
    ) -> "Filter":
        """Return the filter for the parameters of `backupkit.History`."""
        return cls(
            None if at is None else parse_microseconds(at, where="at"),
            None if since is None else parse_microseconds(since, where="since"),
            None if appliances is None else tuple(sorted(set(appliances))),
        )

    def build_conditions(self, reader: Reader, time: str, owner: str) -> list[str]:
        """Return the conditions in SQL, for columns of a time and of the appliance's number."""
        wanted = []
        if self.at is not None:
            wanted.append(f"{time} <= {self.at}")
        if self.since is not None:
            wanted.append(f"{time} >= {self.since}")
        return wanted + self.build_appliance_conditions(reader, owner)

    def build_appliance_conditions(self, reader: Reader, column: str) -> list[str]:
        """Return the condition for the appliances."""
        if self.appliances is None:
            return []
        numbers = sorted(find_appliance_ids(reader, set(self.appliances)).values())
        return [f"{column} IN ({', '.join(map(str, numbers))})" if numbers else "1 = 0"]


def parse_microseconds(moment: Instant, *, where: str) -> int:
    """Return an instant as it is stored."""
    return to_microseconds(pd.Timestamp(parse_instant(moment, where=where)))


def read_view(reader: Reader, wanted: Filter) -> HistoryView:
    """Return everything that was known at a moment."""
    return HistoryView(
        read_jobs(reader, wanted),
        read_table(reader, POLLS, wanted),
        read_table(reader, SCHEDULES, wanted),
        version=find_head(reader, wanted.at) or None,
    )


def _build_where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def read_table(reader: Reader, table: Table, wanted: Filter) -> pd.DataFrame:
    """Return polls or schedules, in the order in which they were learnt."""
    time = _TIMES[table.name]
    columns, types = build_select_list(table.name, table.names)
    conditions = wanted.build_conditions(reader, time, "appliance_id")
    rows = reader.table(f"SELECT {columns} FROM {table.name}{_build_where(conditions)}", types)
    names = [name for name in ("appliance", "schedule") if name in types]
    frame = to_frame(reader, table, rows, by=[time, *names])
    return drop_repeated_schedules(frame) if table is SCHEDULES else frame


def read_observations(reader: Reader, wanted: Filter, *more: str) -> pd.DataFrame:
    """Return observations, in the order in which they were learnt."""
    columns, types = build_select_list("observations", OBSERVATIONS.names, "o.")
    types = {"job": "integer", "appliance": "integer", "job_id": "text"} | types
    conditions = [*wanted.build_conditions(reader, "o.observed_at", "j.appliance_id"), *more]
    rows = reader.table(
        f"SELECT o.job, j.appliance_id AS appliance, j.job_id, {columns} "
        f"FROM observations o JOIN jobs j ON j.id = o.job{_build_where(conditions)}",
        types,
    )
    return to_frame(reader, OBSERVATIONS, rows, by=["observed_at", "appliance", "job"])


def read_jobs(
    reader: Reader, wanted: Filter, *more: str, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return jobs by appliance and start; for an earlier moment from their observations."""
    if wanted.at is not None and has_newer_rows(reader, wanted.at):
        seen = Filter(at=wanted.at, appliances=wanted.appliances)
        jobs = jobs_from(read_observations(reader, seen))
        if wanted.since is not None:
            since = pd.Timestamp(wanted.since, unit="us", tz="UTC")
            jobs = jobs[jobs["last_seen_at"] >= since].reset_index(drop=True)
        return jobs if columns is None else jobs[list(columns)]
    names = JOBS.names if columns is None else [*columns]
    # the order and the durations need these columns
    needed = {*names, "appliance", "job_id", "start_time"}
    if "duration" in names:
        needed |= {"end_time", "last_seen_at"}
    listed, types = build_select_list("jobs", [name for name in JOBS.names if name in needed])
    conditions = [
        "first_seen_at IS NOT NULL",
        *wanted.build_appliance_conditions(reader, "appliance_id"),
        *more,
    ]
    if wanted.since is not None:
        conditions.append(f"last_seen_at >= {wanted.since}")
    rows = reader.table(f"SELECT {listed} FROM jobs{_build_where(conditions)}", types)
    if "duration" in names:
        rows = add_durations(rows)
    frame = to_frame(reader, JOBS, rows, columns=names, by=["appliance", "start_time", "job_id"])
    return frame if columns is None else frame[names]


def add_durations(rows: pa.Table) -> pa.Table:
    """Return stored jobs with their durations, which are not stored."""
    times = (
        rows[name].cast(pa.timestamp("us")).to_numpy()
        for name in ("start_time", "end_time", "last_seen_at")
    )
    durations = measure_durations(*times).astype(np.int64)
    missing = durations == np.iinfo(np.int64).min  # NaT
    return rows.append_column("duration", pa.array(durations, mask=missing))


def has_newer_rows(reader: Reader, moment: int) -> bool:
    """Return whether anything was learnt after a moment."""
    [(latest,)] = reader.rows(
        "SELECT MAX(latest_at) AS latest_at FROM appends", {"latest_at": "integer"}
    )
    return latest is not None and latest > moment


def find_head(reader: Reader, moment: int | None = None) -> str:
    """Return the newest digest of the ledger; for a moment, that of the newest append by then."""
    if moment is None:
        [(head,)] = reader.rows("SELECT head FROM history", {"head": "text"})
        return str(head)
    found = reader.rows(
        "SELECT digest FROM appends WHERE id = "
        "(SELECT MAX(id) FROM appends WHERE kind IN ('append', 'import') "
        f"AND earliest_at <= {moment})",
        {"digest": "text"},
    )
    return str(found[0][0]) if found else ""


_REMOVAL_LABELS: Final = {
    "prune": "rows learnt before a date",
    "forget": "rows of one appliance",
    "thin": "old polls that no figure needs",
}


def read_info(reader: Reader, *, size: int) -> dict[str, Any]:
    """Return the figures of `backupkit.History.info`; `size` is that of the database [bytes]."""
    counts = {
        name: int(reader.rows(f"SELECT COUNT(*) AS n FROM {source}", {"n": "integer"})[0][0])
        for name, source in {
            "appliances": "appliances",
            "jobs": "jobs WHERE first_seen_at IS NOT NULL",
            "observations": "observations",
            "polls": f"polls WHERE {LIST_READ.format('')} IS NOT NULL",
            "polls_failed": "polls WHERE ok = 0",
        }.items()
    }
    times = {"first": "integer", "last": "integer"}
    [(first, _)] = reader.rows(
        "SELECT MIN(observed_at) AS first, 0 AS last FROM observations", times
    )
    [(_, last)] = reader.rows("SELECT 0 AS first, MAX(polled_at) AS last FROM polls", times)
    [(appends, head)] = reader.rows(
        "SELECT (SELECT COUNT(*) FROM appends) AS n, head FROM history",
        {"n": "integer", "head": "text"},
    )
    return {
        **counts,
        "first_observation": _to_datetime(first),
        "last_poll": _to_datetime(last),
        "size": size,
        "appends": appends,
        "head": head,
        "removals": _read_removals(reader),
    }


def format_info(info: Mapping[str, Any]) -> dict[str, str]:
    """Return the figures of `backupkit.History.facts` from those of `backupkit.History.info`."""
    facts = {"Size": f"{info['size'] / 2**20:,.1f} MiB"} | {
        f"Removed {removal['time']:%Y-%m-%d}": f"{removal['rows']:,} rows: "
        f"{_REMOVAL_LABELS[removal['kind']]}"
        for removal in info["removals"]
    }
    if not info["observations"] and info["last_poll"] is None:
        return {"Kept": "nothing yet", **facts}
    return {
        **{name.capitalize(): f"{info[name]:,}" for name in ("appliances", "jobs", "observations")},
        "First observation": _format_moment(info["first_observation"]),
        "Last poll": _format_moment(info["last_poll"]),
        "Polls": f"{info['polls']:,}, of which {info['polls_failed']:,} failed",
        **_format_domain_nodes(info.get("domain_nodes", ())),
        **facts,
        "Appends": f"{info['appends']:,}",
        "Head": info["head"],
    }


def _format_domain_nodes(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return how many nodes of the SSO domains are known, since when, and what is unknown."""
    if not rows:
        return {}
    seen_at = [row["seen_at"] for row in rows if row["host"]]
    parts = [] if seen_at else ["no nodes"]
    if seen_at:
        older = "" if min(seen_at) == max(seen_at) else f"{_format_moment(min(seen_at))} to "
        parts.append(f"{len(seen_at):,} nodes, read {older}{_format_moment(max(seen_at))}")
    if unread := [one_line(row["asked"]) for row in rows if row["error"]]:
        parts.append(f"unknown of {', '.join(unread)}")
    return {"SSO domains": "; ".join(parts)}


def _to_datetime(stamp: int | None) -> datetime | None:
    return None if stamp is None else pd.Timestamp(stamp, unit="us", tz="UTC").to_pydatetime()


def _format_moment(time: datetime | None) -> str:
    return "none" if time is None else f"{time:%Y-%m-%d %H:%M} UTC"


def _read_removals(reader: Reader) -> list[dict[str, Any]]:
    """Return the removals, the oldest first."""
    removed = reader.rows(
        "SELECT kind, appended_at, observations + polls + schedules AS n FROM appends "
        "WHERE kind IN ('prune', 'forget')",
        {"kind": "text", "appended_at": "integer", "n": "integer"},
    )
    return [
        {"time": _to_datetime(when), "kind": kind, "rows": number}
        for kind, when, number in sorted(removed, key=lambda row: row[1])
    ]

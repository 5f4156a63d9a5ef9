"""The append of new rows to all tables, in one transaction."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Final, Protocol

import pandas as pd

from backupkit.history import ledger
from backupkit.history.databases import Connection
from backupkit.history.jobs import JobUpdate, TextIds
from backupkit.history.rows import (
    build_select_list,
    find_next_id,
    split_keys,
    to_frame,
    to_microseconds,
    to_stored_columns,
    to_stored_texts,
)
from backupkit.tables import (
    CONFLICTS,
    LISTED,
    SCHEDULES,
    TOLERATED_SKEW,
    changed_schedules,
    conflicts_in,
    list_was_read,
)

__all__ = ["AppendResult", "Snapshot", "append"]

_ANALYZE_ABOVE: Final = 20_000
"""Rows of an append after which the database updates its statistics."""
_JOB_KEY: Final = ["appliance", "job_id"]
_TIME_COLUMNS: Final = {"observations": "observed_at", "polls": "polled_at", "schedules": "seen_at"}


class Snapshot(Protocol):
    """Three frames to append: a `backupkit.Snapshot`, or any object that has them."""

    @property
    def observations(self) -> pd.DataFrame:
        """Of `backupkit.tables.OBSERVATIONS`."""

    @property
    def polls(self) -> pd.DataFrame:
        """Of `backupkit.tables.POLLS`."""

    @property
    def schedules(self) -> pd.DataFrame:
        """Of `backupkit.tables.SCHEDULES`."""


@dataclass(frozen=True, slots=True)
class AppendResult:
    """Number of rows that an append added; all other rows were stored already.

    Attributes
    ----------
    new, changed, vanished : int
        Observations of new jobs, of known jobs, and of jobs that are no longer listed.
    polls, schedules : int
        Rows of these.
    conflicts : DataFrame
        Of `backupkit.tables.CONFLICTS`: jobs that had ended and now have another start or
        end. Both observations are stored; the newer one counts.
    late : dict of str to Timestamp
        Time of the newest poll that was stored before [UTC], by appliance with an older new poll:
        the clock of a collector may be wrong. An import has none.
    """

    new: int = 0
    changed: int = 0
    vanished: int = 0
    polls: int = 0
    schedules: int = 0
    conflicts: pd.DataFrame = field(default_factory=CONFLICTS.empty, compare=False, repr=False)
    late: dict[str, pd.Timestamp] = field(default_factory=dict, compare=False, repr=False)

    def __add__(self, other: "AppendResult") -> "AppendResult":
        """Return the sum of two appends."""
        names = ("new", "changed", "vanished", "polls", "schedules")
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        both = [one for one in (self.conflicts, other.conflicts) if len(one)]
        conflicts = pd.concat(both, ignore_index=True) if both else CONFLICTS.empty()
        return AppendResult(**sums, conflicts=conflicts, late=self.late | other.late)

    @property
    def observations(self) -> int:
        """Observations added, of any kind."""
        return self.new + self.changed + self.vanished

    @classmethod
    def count_added(
        cls, observations: pd.DataFrame, known: pd.DataFrame, *, polls: int, schedules: int
    ) -> "AppendResult":
        """Count what was added: the new observations against those stored before."""
        before = pd.MultiIndex.from_frame(known[_JOB_KEY]).unique()
        observed = observations[observations["source"] != LISTED]
        # a snapshot of several polls may have several observations of a new job
        first = ~observed.duplicated(_JOB_KEY).to_numpy()
        new = int((first & ~pd.MultiIndex.from_frame(observed[_JOB_KEY]).isin(before)).sum())
        return cls(
            new=new,
            changed=len(observed) - new,
            vanished=len(observations) - len(observed),
            polls=polls,
            schedules=schedules,
            conflicts=_find_new_conflicts(observations, known),
        )


def _find_new_conflicts(new: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Return the conflicts that `new` adds: ended jobs with another start or end."""
    ids = set(new["job_id"])
    conflicts = conflicts_in(pd.concat([known[known["job_id"].isin(ids)], new], ignore_index=True))
    keys = [*_JOB_KEY, "observed_at"]
    new_keys = pd.MultiIndex.from_frame(new[keys])
    return conflicts[pd.MultiIndex.from_frame(conflicts[keys]).isin(new_keys)].reset_index(
        drop=True
    )


def append(
    connection: Connection, snapshot: Snapshot, *, run_id: str, keep_all: bool = False
) -> AppendResult | None:
    """Append what is new in a snapshot with checked frames.

    Parameters
    ----------
    connection : Connection
        A transaction that writes.
    snapshot : Snapshot
        The frames.
    run_id : str
        Identifies this append; one that is stored already is not repeated.
    keep_all : bool
        Whether to store every row that is not stored yet, as an import does; else only rows that
        differ from the newest one.

    Returns
    -------
    AppendResult or None
        None if an earlier try has stored this append.
    """
    if connection.execute("SELECT 1 FROM appends WHERE run_id = ?", [run_id]):
        return None
    observations, polls, schedules = map(
        to_stored_texts, (snapshot.observations, snapshot.polls, snapshot.schedules)
    )
    names = {
        str(name)
        for frame in (observations, polls, schedules)
        for name in frame["appliance"].unique()
    }
    appliances = _register_appliances(connection, names)
    jobs = JobUpdate(connection, observations, appliances, keep_all=keep_all)
    frames = {
        "observations": jobs.new,
        "polls": _select_new_polls(connection, polls, appliances),
        "schedules": _select_new_schedules(connection, schedules, appliances, keep_all=keep_all),
    }
    result = AppendResult.count_added(
        jobs.new, jobs.stored, polls=len(frames["polls"]), schedules=len(frames["schedules"])
    )
    if not keep_all:
        result = replace(result, late=_find_late_polls(connection, frames["polls"]))
    if not any(map(len, frames.values())):
        return result
    plain = {
        kind: dict(zip(table.names, to_stored_columns(table, [*table], frames[kind]), strict=True))
        for kind, table in ledger.TABLES.items()
    }
    moments = [moment for kind in plain for moment in plain[kind][_TIME_COLUMNS[kind]]]
    number = ledger.add_entry(
        connection,
        run_id=run_id,
        kind="import" if keep_all else "append",
        digests={
            kind: ledger.compute_digest(zip(*columns.values(), strict=True))
            for kind, columns in plain.items()
        },
        counts={kind: len(frame) for kind, frame in frames.items()},
        between=(min(moments), max(moments)),
    )
    texts = TextIds(connection, plain)
    is_job = jobs.write(texts, number)
    apart_columns = {
        name: list(compress(values, ~is_job)) for name, values in plain["observations"].items()
    }
    job_ids = [
        jobs.ids[key]
        for key in zip(apart_columns["appliance"], apart_columns["job_id"], strict=True)
    ]
    texts.insert("observations", apart_columns, {"job": job_ids}, number, into="observations_apart")
    for kind in ("polls", "schedules"):
        owner_ids = [appliances[name] for name in plain[kind]["appliance"]]
        texts.insert(kind, plain[kind], {"appliance_id": owner_ids}, number)
    _count_polls(connection, frames["polls"], appliances)
    if sum(map(len, frames.values())) >= _ANALYZE_ABOVE:
        connection.analyze()
    return result


def _register_appliances(connection: Connection, names: set[str]) -> dict[str, int]:
    """Return the number of each appliance, after adding those that are new."""
    known = dict(connection.execute("SELECT name, id FROM appliances"))
    new = sorted(names - known.keys())
    if new:
        number = find_next_id(connection, "appliances")
        rows = [(number + place, name) for place, name in enumerate(new)]
        connection.insert("appliances", ("id", "name"), rows)
        known |= {name: number for number, name in rows}
    return known


def _select_new_polls(
    connection: Connection, polls: pd.DataFrame, appliances: Mapping[str, int]
) -> pd.DataFrame:
    """Drop the polls that are stored already."""
    polls = polls.drop_duplicates(["appliance", "polled_at"])
    if polls.empty:
        return polls
    moments = polls["polled_at"].astype("int64")
    owners = polls["appliance"].map(appliances)
    stored_keys: set[tuple[int, int]] = set()
    pairs = list(zip(owners.to_list(), moments.to_list(), strict=True))
    for part in split_keys(pairs):
        values = ", ".join(["(?, ?)"] * len(part))
        stored_keys |= set(
            connection.execute(
                f"SELECT p.appliance_id, p.polled_at FROM (VALUES {values}) AS k "
                "JOIN polls p ON p.appliance_id = k.column1 AND p.polled_at = k.column2",
                [value for pair in part for value in pair],
            )
        )
    return polls[[pair not in stored_keys for pair in pairs]].reset_index(drop=True)


def _find_late_polls(connection: Connection, polls: pd.DataFrame) -> dict[str, pd.Timestamp]:
    """Return the newest stored poll of each appliance with an older new one."""
    newest = dict(
        connection.execute(
            "SELECT a.name, (SELECT MAX(p.polled_at) FROM polls p WHERE p.appliance_id = a.id) "
            "FROM appliances a WHERE a.polls > 0"
        )
    )
    first = polls[polls["ok"].notna()].groupby("appliance")["polled_at"].min()
    stored = {str(name): newest.get(name) for name in first.index}
    times = {
        name: pd.Timestamp(time, unit="us", tz="UTC")
        for name, time in stored.items()
        if time is not None
    }
    return {name: time for name, time in times.items() if first[name] < time - TOLERATED_SKEW}


def _select_new_schedules(
    connection: Connection,
    schedules: pd.DataFrame,
    appliances: Mapping[str, int],
    *,
    keep_all: bool,
) -> pd.DataFrame:
    """Return the schedules that changed, or all that are not stored yet."""
    if schedules.empty:
        return schedules
    numbers = ", ".join(str(appliances[str(name)]) for name in schedules["appliance"].unique())
    columns, types = build_select_list("schedules", SCHEDULES.names)
    rows = connection.table(
        f"SELECT {columns} FROM schedules WHERE appliance_id IN ({numbers})",
        types,
    )
    known = to_frame(connection, SCHEDULES, rows)
    if not keep_all:
        changed = changed_schedules(schedules, known).reset_index(drop=True)
        return _add_unchanged_since(connection, changed, known, appliances)
    keys = ["appliance", "schedule", "seen_at"]
    newest = schedules.drop_duplicates(keys, keep="last")
    stored_keys = pd.MultiIndex.from_frame(known[keys])
    return newest[~pd.MultiIndex.from_frame(newest[keys]).isin(stored_keys)].reset_index(drop=True)


def _add_unchanged_since(
    connection: Connection,
    changed: pd.DataFrame,
    known: pd.DataFrame,
    appliances: Mapping[str, int],
) -> pd.DataFrame:
    """Add what later polls had seen to rows of schedules that arrive late.

    A later poll without a row of its own had seen the same as the row before the late one.
    """
    columns = (changed[name] for name in ("appliance", "schedule", "seen_at"))
    both = pd.concat([known, changed], ignore_index=True)
    added = []
    for name, plan, seen_at in zip(*columns, strict=True):
        own = both[(both["appliance"] == name) & (both["schedule"] == plan)]
        before = own[own["seen_at"] < seen_at].sort_values("seen_at").tail(1)
        if before.empty:
            continue
        [(polled_at,)] = connection.execute(
            "SELECT MIN(polled_at) FROM polls WHERE appliance_id = ? AND polled_at > ? "
            "AND schedules_read IS NOT NULL",
            [appliances[name], to_microseconds(seen_at)],
        )
        if polled_at is None:
            continue
        seen_again = pd.Timestamp(polled_at, unit="us", tz="UTC")
        if not ((own["seen_at"] > seen_at) & (own["seen_at"] <= seen_again)).any():
            added.append(before.assign(seen_at=seen_again))
    if not added:
        return changed
    return SCHEDULES.conform(pd.concat([changed, *added], ignore_index=True))


def _count_polls(
    connection: Connection, polls: pd.DataFrame, appliances: Mapping[str, int]
) -> None:
    read = list_was_read(polls).dropna()
    by = read.groupby(polls["appliance"]).agg(["size", "sum"])
    rows = [(int(n), int(ok), appliances[str(name)]) for name, n, ok in by.itertuples()]
    if rows:
        connection.execute_many(
            "UPDATE appliances SET polls = polls + ?, polls_ok = polls_ok + ? WHERE id = ?", rows
        )

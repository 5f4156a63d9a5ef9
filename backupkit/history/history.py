"""History: every snapshot ever kept, as Delta Lake tables in one folder.

What one visit brought back goes into three tables, and its poll is written last: only what a poll
vouches for is ever read. A collector that is killed in the middle leaves rows that nobody sees,
and the next round brings them again.
"""

import functools
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake.exceptions import DeltaError

from backupkit.display import fact_table, line, panel
from backupkit.errors import HistoryError, one_line
from backupkit.history import mark
from backupkit.history.checking import problems
from backupkit.history.exchange import Kind, read_parquet, write_tables
from backupkit.history.seals import Seals
from backupkit.history.stored import TIME, Stored
from backupkit.settings import Instant, parse_instant
from backupkit.tables import (
    CONFLICTS,
    JOBS,
    LISTED,
    MEMORY,
    OBSERVATIONS,
    POLLS,
    SCHEDULES,
    Remembered,
    Table,
    changed_observations,
    changed_schedules,
    conflicts_in,
    newest_of,
    remembered_from,
)

__all__ = ["TABLES", "Appended", "History"]

TABLES: Final = (SCHEDULES, OBSERVATIONS, POLLS)
"""What a history holds, in the order in which it is written: polls vouch for the rest."""

_SEALS: Final = 96  # files; from so many on they are joined
_ADVICE: Final = {
    "read": "Run: backupkit history verify --history {path}. If it is damaged, put it back from a "
    "backup.",
    "written": "Nothing that was kept is changed; check the folder's rights and the free space.",
}
_JOB: Final = ["appliance", "job_id"]


class _Snapshot(Protocol):
    """What can be appended: a `backupkit.Snapshot`, or anything with its three frames."""

    @property
    def observations(self) -> pd.DataFrame: ...
    @property
    def polls(self) -> pd.DataFrame: ...
    @property
    def schedules(self) -> pd.DataFrame: ...


@dataclass(frozen=True, slots=True)
class Appended:
    """How many rows an append added; the rest was known already.

    Attributes
    ----------
    new, changed, vanished : int
        Observations of jobs never seen before, of known ones, and of jobs that are listed no more.
    polls, schedules : int
        Rows of these.
    conflicts : DataFrame
        Of `backupkit.tables.CONFLICTS`: the changed jobs that had ended, and are now told with
        another start or end. Both are kept, and the newer counts.
    """

    new: int = 0
    changed: int = 0
    vanished: int = 0
    polls: int = 0
    schedules: int = 0
    conflicts: pd.DataFrame = field(default_factory=CONFLICTS.empty, compare=False, repr=False)

    @property
    def observations(self) -> int:
        """Observations added, of any kind."""
        return self.new + self.changed + self.vanished


class History:
    """All snapshots ever kept.

    Parameters
    ----------
    path : str or Path
        The folder. It is created if it does not exist, or is empty.
    create : bool
        Whether to create it; False makes a missing folder an error.

    Raises
    ------
    HistoryError
        If the path is something else than a history folder, or cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> history = History(tempfile.mkdtemp())
    >>> len(history.jobs())
    0
    """

    def __init__(self, path: str | Path, *, create: bool = True) -> None:
        self.path = Path(path)
        known = mark.opened(self.path, create=create)
        self._seals = Seals(self.path, complete="seals" in known.steps)
        self._tables = {table.name: Stored(table, self._seals) for table in TABLES}

    @property
    def identity(self) -> bytes:
        """Random bytes of this history alone: with them a report's redacted names are made.

        Raises
        ------
        HistoryError
            If the history is of a time before it had any, and none can be written.
        """
        return mark.identity(self.path)

    def append(self, snapshot: _Snapshot) -> Appended:
        """Keep what is new in a snapshot; appending the same one again changes nothing.

        Parameters
        ----------
        snapshot : Snapshot
            What `backupkit.collect` brought back.

        Returns
        -------
        Appended
            How many rows were added. Observations and schedules are kept only where they say
            something new; polls each once.

        Raises
        ------
        HistoryError
            If it cannot be written; what was kept before is still there.
        """
        told = OBSERVATIONS.check(snapshot.observations)
        known = OBSERVATIONS.empty()
        if len(told):
            known = self._read(
                OBSERVATIONS,
                appliances=sorted(set(told["appliance"])),
                jobs=sorted(set(told["job_id"])),  # of the others nothing is told
            )
        observations = changed_observations(told, known)
        plans = SCHEDULES.check(snapshot.schedules)
        schedules = changed_schedules(plans, self.schedules()) if len(plans) else plans
        visits = POLLS.check(snapshot.polls).drop_duplicates(["appliance", "polled_at"])
        polls = self._missing(POLLS, visits)
        self._keep({SCHEDULES: schedules, OBSERVATIONS: observations, POLLS: polls})
        before = pd.MultiIndex.from_frame(known[_JOB]).unique()
        new = ~pd.MultiIndex.from_frame(observations[_JOB]).isin(before)
        vanished = int((observations["source"] == LISTED).sum())
        return Appended(
            new=int(new.sum()),
            changed=len(observations) - int(new.sum()) - vanished,
            vanished=vanished,
            polls=len(polls),
            schedules=len(schedules),
            conflicts=_conflicts(observations, known),
        )

    def remembered(self) -> dict[str, Remembered]:
        """Sum up what is known of each appliance, for the next `backupkit.collect`.

        Returns
        -------
        dict of str to Remembered
            By appliance.

        Raises
        ------
        HistoryError
            If the tables cannot be read.
        """
        rows = self._guard("read", lambda: self._vouched(OBSERVATIONS, MEMORY, None))
        if rows is None:
            rows = OBSERVATIONS.to_arrow(OBSERVATIONS.empty())
        return remembered_from(rows, self.polls())

    def conflicts(
        self,
        *,
        at: Instant | None = None,
        since: Instant | None = None,
        appliances: Iterable[str] | None = None,
    ) -> pd.DataFrame:
        """Find the jobs told with another start or end after they had ended.

        Parameters as of `observations`.

        Returns
        -------
        DataFrame
            Of `backupkit.tables.CONFLICTS`.
        """
        found = conflicts_in(self.observations(at=at, appliances=appliances))
        if since is None:
            return found
        return found[found["observed_at"] >= parse_instant(since, where="since")]

    def observations(
        self,
        *,
        at: Instant | None = None,
        since: Instant | None = None,
        appliances: Iterable[str] | None = None,
    ) -> pd.DataFrame:
        """Read what was observed.

        Parameters
        ----------
        at : datetime or str, optional
            Only what was known at this instant.
        since : datetime or str, optional
            Only what was learnt at or after this instant.
        appliances : iterable of str, optional
            Only these appliances.

        Returns
        -------
        DataFrame
            Of `backupkit.tables.OBSERVATIONS`, by time.

        Raises
        ------
        HistoryError
            If the table cannot be read.
        """
        return self._read(OBSERVATIONS, at=at, since=since, appliances=appliances)

    def jobs(
        self,
        *,
        at: Instant | None = None,
        since: Instant | None = None,
        appliances: Iterable[str] | None = None,
    ) -> pd.DataFrame:
        """Give the newest observation of each job; parameters as of `observations`.

        Returns
        -------
        DataFrame
            Of `backupkit.tables.JOBS`. With `since`, the jobs of which something was learnt since.
        """
        rows = self._told(OBSERVATIONS, at=at, appliances=appliances)
        jobs = JOBS.empty() if rows is None else newest_of(rows)
        if since is None:
            return jobs
        return jobs[jobs["last_seen_at"] >= parse_instant(since, where="since")].reset_index(
            drop=True
        )

    def polls(
        self,
        *,
        at: Instant | None = None,
        since: Instant | None = None,
        appliances: Iterable[str] | None = None,
    ) -> pd.DataFrame:
        """Read the visits, of `backupkit.tables.POLLS`; parameters as of `observations`."""
        return self._read(POLLS, at=at, since=since, appliances=appliances)

    def schedules(
        self,
        *,
        at: Instant | None = None,
        since: Instant | None = None,
        appliances: Iterable[str] | None = None,
    ) -> pd.DataFrame:
        """Read the schedules, of `backupkit.tables.SCHEDULES`; parameters as of `observations`.

        A row each time a schedule was seen changed.
        """
        return self._read(SCHEDULES, at=at, since=since, appliances=appliances)

    @property
    def sealed(self) -> bool:
        """Whether a seal vouches for all that was ever kept; an earlier version made none."""
        return self._seals.complete

    def verify(self) -> pd.DataFrame:
        """Hold every file against its seal, and read every row.

        Returns
        -------
        DataFrame
            A row for each damaged or missing file: file, problem, lost (what cannot be read without
            it); all str. Empty if the history is whole.

        Examples
        --------
        >>> import tempfile
        >>> len(History(tempfile.mkdtemp()).verify())
        0
        """
        return problems(self._tables, self._seals)

    def compact(self) -> None:
        """Put small files together now; the rows stay the same.

        It happens by itself every so many appends.

        Raises
        ------
        HistoryError
            If the history cannot be read or written.
        """
        self._guard("written", self._migrate)
        for stored in self._tables.values():
            self._guard("read", functools.partial(stored.rows, ["appliance"], None))
            self._guard("written", stored.tidy)
        self._guard("written", self._join_seals)

    def export(self, target: str | Path, *, kind: Kind = "parquet") -> tuple[Path, ...]:
        """Write jobs, observations, polls and schedules for other programs.

        Parameters
        ----------
        target : str or Path
            A new folder, or for SQLite a new file.
        kind : {"parquet", "csv", "sqlite"}
            What to write.

        Returns
        -------
        tuple of Path
            The files.

        Raises
        ------
        HistoryError
            If the history cannot be read, or the target not be written.
        """
        frames = {
            "jobs": self.jobs(),
            "observations": self.observations(),
            "polls": self.polls(),
            "schedules": self.schedules(),
        }
        return write_tables(frames, Path(target), kind)

    def merge(self, source: str | Path) -> Appended:
        """Take over what another history holds; doing so again changes nothing.

        Parameters
        ----------
        source : str or Path
            The folder of a history, or of its export as Parquet.

        Returns
        -------
        Appended
            How many rows were added.

        Raises
        ------
        HistoryError
            If the source cannot be read, or this history not be written.
        """
        folder = Path(source)
        if mark.is_history(folder):
            other = History(folder, create=False)
            frames = {
                "observations": other.observations(),
                "polls": other.polls(),
                "schedules": other.schedules(),
            }
        else:
            frames = read_parquet(folder)
        told = frames["observations"]
        known = self.observations()
        added = self._keep({table: frames[table.name] for table in TABLES})
        new = ~pd.MultiIndex.from_frame(told[_JOB]).isin(pd.MultiIndex.from_frame(known[_JOB]))
        jobs = len(told.loc[new, _JOB].drop_duplicates())
        return Appended(
            new=jobs,
            changed=added["observations"] - jobs,
            polls=added["polls"],
            schedules=added["schedules"],
        )

    def facts(self) -> dict[str, str]:
        """Count what is kept.

        Returns
        -------
        dict of str to str
            By what it is: appliances, jobs, observations, visits, from when to when, size on disk.

        Raises
        ------
        HistoryError
            If the history cannot be read.
        """
        # only the columns that tell are read
        told = self._guard(
            "read", lambda: self._vouched(OBSERVATIONS, [*_JOB, "observed_at"], None)
        )
        polls = self._guard(
            "read", lambda: self._rows(POLLS, ["appliance", "polled_at", "ok"], None)
        )
        size = sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())
        facts = {"Size": f"{size / 2**20:,.1f} MiB"}
        if polls is None:
            return {"Kept": "nothing yet", **facts}
        if told is None:
            told = OBSERVATIONS.to_arrow(OBSERVATIONS.empty())
        last = pc.max(polls["polled_at"]).as_py()
        failed = pc.sum(pc.equal(polls["ok"], False)).as_py() or 0
        first = pc.min(told["observed_at"]).as_py()
        jobs = told.group_by(_JOB).aggregate([]).num_rows
        return {
            "Appliances": f"{len(pc.unique(polls['appliance'])):,}",
            "Jobs": f"{jobs:,}",
            "Observations": f"{told.num_rows:,}",
            "First observation": "none" if first is None else f"{first:%Y-%m-%d %H:%M} UTC",
            "Last visit": f"{last:%Y-%m-%d %H:%M} UTC",
            "Visits": f"{polls.num_rows - polls['ok'].null_count:,}, of which {failed:,} failed",
            **facts,
        }

    def __repr__(self) -> str:
        return f"History({str(self.path)!r})"

    def _repr_html_(self) -> str:
        try:
            return str(panel(fact_table(self.facts(), caption=f"History {self.path}")))
        except HistoryError as error:
            return str(panel(line(str(error), "breach")))

    def _read(
        self,
        table: Table,
        *,
        at: Instant | None = None,
        since: Instant | None = None,
        appliances: Iterable[str] | None = None,
        jobs: Iterable[str] | None = None,
    ) -> pd.DataFrame:
        rows = self._told(table, at=at, since=since, appliances=appliances, jobs=jobs)
        frame = table.empty() if rows is None else table.from_arrow(rows)
        names = [name for name in ("appliance", "job_id", "schedule") if name in frame]
        return frame.sort_values([TIME[table.name], *names], kind="stable", ignore_index=True)

    def _told(
        self,
        table: Table,
        *,
        at: Instant | None = None,
        since: Instant | None = None,
        appliances: Iterable[str] | None = None,
        jobs: Iterable[str] | None = None,
    ) -> pa.Table | None:
        """Read rows as they are stored; None if there never were any."""
        time = TIME[table.name]
        wanted = []
        if at is not None:
            wanted.append(ds.field(time) <= _arrow(at))
        if since is not None:
            wanted.append(ds.field(time) >= _arrow(since))
        for column, names in (("appliance", appliances), ("job_id", jobs)):
            if names is not None:
                typed = pa.array(list(names), type=pa.string())  # typed, since it may be empty
                wanted.append(ds.field(column).isin(typed))
        filters = None
        for condition in wanted:
            filters = condition if filters is None else filters & condition

        rows: pa.Table | None = self._guard(
            "read", lambda: self._vouched(table, table.names, filters)
        )
        return rows

    def _vouched(
        self, table: Table, columns: Sequence[str], filters: ds.Expression | None
    ) -> pa.Table | None:
        """Read what polls vouch for."""
        # the polls are read last too: one written in between vouches for rows already seen
        rows = self._rows(table, columns, filters)
        if rows is None or table is POLLS:
            return rows
        return _vouched_for(rows, TIME[table.name], self._rows(POLLS, ["polled_at"], None))

    def _rows(
        self, table: Table, columns: Sequence[str], filters: ds.Expression | None
    ) -> pa.Table | None:
        return self._tables[table.name].rows(columns, filters)

    def _missing(self, table: Table, frame: pd.DataFrame) -> pd.DataFrame:
        """Leave out what is there: also what an append wrote that failed before its polls."""
        if frame.empty:
            return frame
        time = TIME[table.name]
        keys = [name for name in ("appliance", "job_id", "schedule", time) if name in frame]
        since = ds.field(time) >= _arrow(frame[time].min())
        rows = self._guard("read", lambda: self._rows(table, keys, since))
        if rows is None or not rows.num_rows:
            return frame
        there = pd.MultiIndex.from_frame(table.from_arrow(rows)[keys])
        return frame[~pd.MultiIndex.from_frame(frame[keys]).isin(there)]

    def _keep(self, frames: Mapping[Table, pd.DataFrame]) -> dict[str, int]:
        """Write what is missing of each table, the polls last; give how many rows."""
        run = secrets.token_hex(8)
        missing = {table: self._missing(table, frames[table]) for table in TABLES}
        self._guard("written", self._migrate)
        for table, frame in missing.items():
            if len(frame):
                rows = table.to_arrow(frame)
                stored = self._tables[table.name]
                self._guard("written", functools.partial(stored.write, rows, run=run))
        if len(self._seals) >= _SEALS:
            self._guard("written", self._join_seals)
        return {table.name: len(frame) for table, frame in missing.items()}

    def _migrate(self) -> None:
        """Bring a folder that an earlier version began up to what this one expects."""
        if not self._seals.complete:
            for stored in self._tables.values():
                stored.seal()
            mark.add_step(self.path, "seals")
            self._seals.complete = True

    def _join_seals(self) -> None:
        # looked up once the seals are read: another writer's seal must not go with what is old
        self._seals.join(path for stored in self._tables.values() for path in stored.live())

    def _guard(self, verb: str, action: Callable[[], Any]) -> Any:  # noqa: ANN401 # the action knows
        """Turn what Delta and Arrow raise into a sentence."""
        try:
            return action()
        except (DeltaError, OSError, ValueError) as error:
            why = one_line(str(error)).rstrip(".") or type(error).__name__
            raise HistoryError(
                f"The history {self.path} cannot be {verb}: {why}. "
                f"{_ADVICE[verb].format(path=self.path)}"
            ) from error


def _conflicts(new: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Find what `new` tells otherwise of jobs that had ended."""
    ids = set(new["job_id"])
    found = conflicts_in(pd.concat([known[known["job_id"].isin(ids)], new], ignore_index=True))
    keys = [*_JOB, "observed_at"]
    arrived = pd.MultiIndex.from_frame(new[keys])
    return found[pd.MultiIndex.from_frame(found[keys]).isin(arrived)].reset_index(drop=True)


def _vouched_for(rows: pa.Table, time: str, polls: pa.Table | None) -> pa.Table:
    """Leave out what was written by a collector that was killed before it wrote its polls."""
    if polls is None:
        return rows.slice(0, 0)
    times = pc.unique(rows[time])
    # nearly always each moment is one visit's: then looking at the moments is enough
    late = times.filter(pc.invert(pc.is_in(times, value_set=pc.unique(polls["polled_at"]))))
    if not len(late):
        return rows
    return rows.filter(pc.invert(pc.is_in(rows[time], value_set=late)))


def _arrow(when: Instant) -> Any:  # noqa: ANN401 # an Arrow scalar
    return pa.scalar(parse_instant(when, where="the time"), type=pa.timestamp("us", tz="UTC"))

"""History: every snapshot ever kept, as Delta Lake tables in one folder.

What one visit brought back goes into three tables, and its poll is written last: only what a poll
vouches for is ever read. A collector that is killed in the middle leaves rows that nobody sees,
and the next round brings them again.
"""

import json
import logging
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from backupkit.display import fact_table, line, panel
from backupkit.errors import HistoryError, one_line
from backupkit.settings import Instant, parse_instant
from backupkit.tables import (
    CONFLICTS,
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
    jobs_from,
    remembered_from,
)

__all__ = ["Appended", "History"]

_log = logging.getLogger(__name__)

TIDY_EVERY: Final = 64
"""After so many appends the many small files of a table are put together."""

FORMAT: Final = 1
"""The version of the folder's layout."""

_MARK: Final = "backupkit-history.json"
_ADVICE: Final = {
    "read": "Check the folder's rights; if it is damaged, put it back from a backup.",
    "written": "Nothing that was kept is changed; check the folder's rights and the free space.",
}
_TIME: Final = {"observations": "observed_at", "polls": "polled_at", "schedules": "seen_at"}
_JOB: Final = ["appliance", "job_id"]
_REPEATED: Final = ["appliance", "source", "state", "status", "type"]


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
        mark = self.path / _MARK
        try:
            if self.path.exists() and not self.path.is_dir():
                raise HistoryError(
                    f"{self.path} is a file and not a history folder. Name a folder with --history."
                )
            if not mark.exists():
                if self.path.is_dir() and not all(map(_is_draft, self.path.iterdir())):
                    raise HistoryError(
                        f"{self.path} is a folder with other things in it and no history. Name a "
                        "history folder, or a new one, with --history."
                    )
                if not create:
                    raise HistoryError(
                        f"{self.path} holds no history yet. Fill it first with: "
                        f"backupkit collect --fleet fleet.toml --history {self.path}"
                    )
                self.path.mkdir(parents=True, exist_ok=True)
                _write_mark(mark)
            form = json.loads(mark.read_text(encoding="utf-8"))["format"]
        except OSError as error:
            raise HistoryError(
                f"The history {self.path} cannot be used: {error.strerror}."
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise HistoryError(
                f"The history {self.path} is damaged: {_MARK} cannot be read. Put it back from a "
                f'backup, or write {{"format": {FORMAT}}} into it.'
            ) from error
        if form != FORMAT:
            raise HistoryError(
                f"The history {self.path} has format {form}; this version of backupkit reads "
                f"format {FORMAT}. Update backupkit."
            )

    @property
    def identity(self) -> bytes:
        """Random bytes of this history alone: with them a report's redacted names are made.

        Raises
        ------
        HistoryError
            If the history is of a time before it had any, and none can be written.
        """
        mark = self.path / _MARK
        try:
            told = json.loads(mark.read_text(encoding="utf-8"))
            if told["format"] == FORMAT and "id" not in told:
                _write_mark(mark)
                told = json.loads(mark.read_text(encoding="utf-8"))
            return bytes.fromhex(told["id"])
        except OSError as error:
            raise HistoryError(
                f"The history {self.path} has no identity yet, and none can be written: "
                f"{error.strerror}. Name a key file with --redact-key."
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise HistoryError(
                f"The history {self.path} is damaged: the identity in {_MARK} cannot be read. "
                "Put the file back from a backup, or name a key file with --redact-key."
            ) from error

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
            known = self.observations(appliances=sorted(set(told["appliance"])))
        observations = changed_observations(told, known)
        plans = SCHEDULES.check(snapshot.schedules)
        schedules = changed_schedules(plans, self.schedules()) if len(plans) else plans
        visits = POLLS.check(snapshot.polls).drop_duplicates(["appliance", "polled_at"])
        polls = self._missing(POLLS, visits)
        for table, frame in ((SCHEDULES, schedules), (OBSERVATIONS, observations)):
            self._write(table, self._missing(table, frame))
        self._write(POLLS, polls)  # last: they vouch for the rest
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
        jobs = jobs_from(self.observations(at=at, appliances=appliances))
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

    def __repr__(self) -> str:
        return f"History({str(self.path)!r})"

    def _repr_html_(self) -> str:
        try:
            return str(panel(fact_table(self._facts(), caption=f"History {self.path}")))
        except HistoryError as error:
            return str(panel(line(str(error), "breach")))

    def _facts(self) -> dict[str, str]:
        """Count what is kept; only the columns that tell are read."""
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

    def _open(self, table: Table) -> DeltaTable | None:
        """Open a table; None before its first row."""
        where = self.path / table.name
        if not DeltaTable.is_deltatable(str(where)):
            return None
        for commit in _newest_commits(where / "_delta_log"):
            if not commit.stat().st_size:  # Delta would pass over the rows it names
                raise OSError(f"{commit.name} in its log is empty, as after a power failure")
        return DeltaTable(str(where))

    def _read(
        self,
        table: Table,
        *,
        at: Instant | None = None,
        since: Instant | None = None,
        appliances: Iterable[str] | None = None,
    ) -> pd.DataFrame:
        time = _TIME[table.name]
        wanted = []
        if at is not None:
            wanted.append(ds.field(time) <= _arrow(at))
        if since is not None:
            wanted.append(ds.field(time) >= _arrow(since))
        if appliances is not None:
            names = pa.array(list(appliances), type=pa.string())  # typed, since it may be empty
            wanted.append(ds.field("appliance").isin(names))
        filters = None
        for condition in wanted:
            filters = condition if filters is None else filters & condition

        rows = self._guard("read", lambda: self._vouched(table, table.names, filters))
        frame = table.empty() if rows is None else table.from_arrow(rows)
        by = [time, "appliance", *[name for name in ("job_id", "schedule") if name in frame]]
        return frame.sort_values(by, kind="stable", ignore_index=True)

    def _vouched(
        self, table: Table, columns: Sequence[str], filters: ds.Expression | None
    ) -> pa.Table | None:
        """Read what polls vouch for."""
        # the polls are read last too: one written in between vouches for rows already seen
        rows = self._rows(table, columns, filters)
        if rows is None or table is POLLS:
            return rows
        return _vouched_for(rows, _TIME[table.name], self._rows(POLLS, ["polled_at"], None))

    def _rows(
        self, table: Table, columns: Sequence[str], filters: ds.Expression | None
    ) -> pa.Table | None:
        stored = self._open(table)
        if stored is None:
            return None
        dataset = stored.to_pyarrow_dataset(
            parquet_read_options=ds.ParquetReadOptions(dictionary_columns=_REPEATED)
        )
        if not {"appliance", _TIME[table.name]} <= set(dataset.schema.names):
            raise ValueError(f"the table {table.name} has other columns than backupkit's")
        present = [name for name in columns if name in dataset.schema.names]
        return dataset.to_table(columns=present, filter=filters)

    def _missing(self, table: Table, frame: pd.DataFrame) -> pd.DataFrame:
        """Leave out what is there: also what an append wrote that failed before its polls."""
        if frame.empty:
            return frame
        time = _TIME[table.name]
        keys = [name for name in ("appliance", "job_id", "schedule", time) if name in frame]
        since = ds.field(time) >= _arrow(frame[time].min())
        rows = self._guard("read", lambda: self._rows(table, keys, since))
        if rows is None or not rows.num_rows:
            return frame
        there = pd.MultiIndex.from_frame(table.from_arrow(rows)[keys])
        return frame[~pd.MultiIndex.from_frame(frame[keys]).isin(there)]

    def _write(self, table: Table, frame: pd.DataFrame) -> None:
        if frame.empty:
            return
        where = str(self.path / table.name)
        rows = table.to_arrow(frame)
        self._guard(
            "written",
            # merge: a folder that an earlier version began lacks newer columns
            lambda: write_deltalake(where, rows, mode="append", schema_mode="merge"),
        )
        if len(list(_newest_commits(self.path / table.name / "_delta_log"))) >= TIDY_EVERY:
            _tidy(where)

    def _guard(self, verb: str, action: Callable[[], Any]) -> Any:  # noqa: ANN401 # the action knows
        """Turn what Delta and Arrow raise into a sentence."""
        try:
            return action()
        except (DeltaError, OSError, ValueError) as error:
            why = one_line(str(error)).rstrip(".") or type(error).__name__
            raise HistoryError(
                f"The history {self.path} cannot be {verb}: {why}. {_ADVICE[verb]}"
            ) from error


def _tidy(where: str) -> None:
    """Put a table's small files together, so that reading stays quick; no row changes."""
    try:
        stored = DeltaTable(where)
        stored.optimize.compact()
        stored.create_checkpoint()
        stored.vacuum(dry_run=False)  # only what nobody has read for a week
    except (DeltaError, OSError) as error:  # another writer was quicker, or will be
        _log.info("%s is not tidied now: %s", where, one_line(str(error)))


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


def _newest_commits(log: Path) -> Iterator[Path]:
    """List the commits that Delta reads: those after the last checkpoint."""
    try:
        text = (log / "_last_checkpoint").read_text(encoding="utf-8")
        first = f"{json.loads(text)['version']:020}.json"
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or Delta takes no notice of it
        first = ""
    return (commit for commit in log.glob("*.json") if commit.name > first)


def _is_draft(path: Path) -> bool:
    """Tell whether this is a mark that another process is about to write, or did not finish."""
    return path.name.startswith(f".{_MARK}.")


def _write_mark(mark: Path) -> None:
    """Write the mark whole or not at all."""
    draft = mark.with_name(f".{mark.name}.{os.getpid()}")
    told = {"format": FORMAT, "id": secrets.token_hex(16)}
    draft.write_text(json.dumps(told) + "\n", encoding="utf-8")
    draft.replace(mark)


def _arrow(when: Instant) -> Any:  # noqa: ANN401 # an Arrow scalar
    return pa.scalar(parse_instant(when, where="the time"), type=pa.timestamp("us", tz="UTC"))

"""The class `History`: the public interface of all queries and changes."""

import contextlib
import secrets
import time
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from backupkit import display, tables
from backupkit.errors import BackupkitWarning, HistoryError, one_line
from backupkit.history import append as _append
from backupkit.history import reading
from backupkit.history.alerts import AlertLog
from backupkit.history.append import AppendResult, Stored
from backupkit.history.databases import Connection, open_database
from backupkit.history.domain_nodes import DomainNodeLog, read_domain_nodes
from backupkit.history.notes import NoteLog
from backupkit.history.stored import to_stored
from backupkit.history.sync import find_known_jobs, read_sync_state
from backupkit.history.thinning import KEEP_POLLS, thin_polls
from backupkit.settings import Instant, parse_instant
from backupkit.tables import POLLS, SCHEDULES, TOLERATED_SKEW, Records, SyncState

if TYPE_CHECKING:
    import pandas as pd

    from backupkit.tables import HistoryView

__all__ = ["History", "Kind", "Snapshot"]

Kind = Literal["parquet", "csv"]


class Snapshot(Protocol):
    """Three frames to append: a `backupkit.Snapshot`, or any object that has them."""

    @property
    def observations(self) -> "pd.DataFrame":
        """Of `backupkit.tables.OBSERVATIONS`."""

    @property
    def polls(self) -> "pd.DataFrame":
        """Of `backupkit.tables.POLLS`."""

    @property
    def schedules(self) -> "pd.DataFrame":
        """Of `backupkit.tables.SCHEDULES`."""


class _RollbackError(Exception):
    """Raised to roll back a test write."""


class History:
    """All snapshots of a fleet.

    Parameters
    ----------
    target : str or Path
        A file, by convention ``history.db``; or ``postgresql://user@host:port/database``. libpq
        finds the password of a database in PGPASSWORD, in the file PGPASSFILE, or in a service
        file.
    create : bool
        Whether to create a missing history; False raises an error.
    keep_polls : timedelta or None
        How long all polls stay. Each append removes a few older ones that no figure needs; None
        removes none.

    Raises
    ------
    HistoryError
        If the target is not a history, or cannot be used.

    Notes
    -----
    Of the polls older than `keep_polls` these stay: for each appliance and UTC day the first and
    the last good one, both sides of each change between good and failed, and the good ones whose
    gaps give the cadence. The age of a poll counts from the newest append.

    An append is one transaction: it returns once everything is on disk, and a killed process
    leaves either all of it or nothing. Several processes may append and read at the same time. A
    file must be on a local disk, because the log of SQLite needs shared memory.

    Examples
    --------
    >>> import tempfile
    >>> history = History(Path(tempfile.mkdtemp()) / "history.db")
    >>> len(history.jobs())
    0
    """

    def __init__(
        self,
        target: str | Path,
        *,
        create: bool = True,
        keep_polls: timedelta | None = KEEP_POLLS,
    ) -> None:
        self._keep = None if keep_polls is None else keep_polls // timedelta(microseconds=1)
        self._database = open_database(target, create=create)
        self.uri = self._database.uri

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the path or URL only."""
        return _reopen_history, (self.uri, self._keep)

    def check_writable(self) -> None:
        """Write and roll back, to fail early.

        Raises
        ------
        HistoryError
            If the history cannot be written, for example because it is locked or read-only.
        """

        def attempt(connection: Connection) -> None:
            connection.execute("UPDATE history SET head = head")
            raise _RollbackError

        with contextlib.suppress(_RollbackError):
            self._database.write(attempt)

    def lock_run(self, *, wait: float = 0) -> contextlib.AbstractContextManager[None]:
        """Lock the history for one run, so that two runs do not overlap.

        Appends and reads of others go on: only another `lock_run` waits. The lock is a file beside
        a history file, and an advisory lock in PostgreSQL. It is released at the end of the
        context, or of the process, however that ends.

        Parameters
        ----------
        wait : float
            How long to wait for another run [s].

        Returns
        -------
        context manager
            The lock.

        Raises
        ------
        HistoryLockedError
            On entry, if another run holds it for longer; the message says which.
        HistoryError
            If the lock cannot be used.

        Examples
        --------
        >>> import tempfile
        >>> with History(Path(tempfile.mkdtemp()) / "history.db").lock_run(wait=5):
        ...     pass  # collect and report
        """
        return self._database.lock_run(wait=wait)

    @property
    def identity(self) -> bytes:
        """Random bytes of this history; the aliases of redacted reports derive from them."""
        with self._database.read() as reader:
            [(text,)] = reader.rows("SELECT identity FROM history", {"identity": "text"})
        return bytes.fromhex(text)

    @property
    def head(self) -> str:
        """Newest digest of the ledger, which covers every append: 64 hexadecimal digits."""
        with self._database.read() as reader:
            return reading.find_head(reader)

    @property
    def alerts(self) -> AlertLog:
        """The alerts that `backupkit alert` keeps in this history."""
        return AlertLog(self._database)

    @property
    def notes(self) -> NoteLog:
        """The notes that operators added with `backupkit note`."""
        return NoteLog(self._database)

    @property
    def domain_nodes(self) -> DomainNodeLog:
        """The nodes of the SSO domains, as the last `backupkit discover` has read them."""
        return DomainNodeLog(self._database)

    def append(self, snapshot: Snapshot) -> AppendResult:
        """Append what is new in a snapshot; appending it again changes nothing.

        Parameters
        ----------
        snapshot : Snapshot
            Result of `backupkit.collect`.

        Returns
        -------
        AppendResult
            Number of added rows. Observations and schedules are added only if they differ from
            the newest one; each poll is added once.

        Raises
        ------
        HistoryError
            If the history cannot be written; it is then unchanged.

        Warns
        -----
        BackupkitWarning
            If polls that are stored already are in the future.
        """
        added = self._append(snapshot, keep_all=False)
        now = datetime.now(UTC)
        ahead = {name: when for name, when in added.late.items() if when > now + TOLERATED_SKEW}
        if ahead:
            name, when = max(ahead.items(), key=lambda item: item[1])
            warnings.warn(
                f"The history has a poll of {one_line(name)} of {when:%Y-%m-%d %H:%M} UTC, which "
                "is in the future: the clock of a collector was ahead. What was read now is kept.",
                BackupkitWarning,
                stacklevel=2,
            )
        return added

    def _append(self, snapshot: Snapshot, *, keep_all: bool) -> AppendResult:
        stored = _to_stored(snapshot)
        run_id = secrets.token_hex(16)
        first_try = AppendResult()

        def action(connection: Connection) -> AppendResult:
            nonlocal first_try
            done = _append.append(
                connection,
                stored,
                run_id=run_id,
                keep_all=keep_all,
                list_digests=getattr(snapshot, "list_digests", {}),
            )
            if done is None:  # the connection broke after the commit
                return first_try
            first_try = done
            if self._keep is not None:
                thin_polls(connection, time.time_ns() // 1000, self._keep)
            return done

        return self._database.write(action)

    def sync_state(self, *, ids: bool = True) -> dict[str, SyncState]:
        """Return what the next `backupkit.collect` needs to know of each appliance.

        Parameters
        ----------
        ids : bool
            Whether to read the ids of all jobs that are still listed; `known_jobs` returns those
            of one appliance.

        Returns
        -------
        dict of str to SyncState
            By appliance.

        Raises
        ------
        HistoryError
            If the tables cannot be read.
        """
        return self._database.run_lookup(lambda rows: read_sync_state(rows, ids=ids))

    def known_jobs(
        self, appliance: str, listed: Collection[str]
    ) -> tuple[frozenset[str], frozenset[str]]:
        """Return which of the jobs that an appliance lists are known.

        Parameters
        ----------
        appliance : str
            Its name.
        listed : collection of str
            The ids of the jobs.

        Returns
        -------
        known : frozenset of str
            Jobs that were listed before, including those that are missing in `listed`.
        finished : frozenset of str
            Known jobs that have ended.

        Raises
        ------
        HistoryError
            If the tables cannot be read.
        """
        return self._database.run_lookup(lambda rows: find_known_jobs(rows, appliance, listed))

    def conflicts(
        self,
        *,
        at: Instant | None = None,
        since: Instant | None = None,
        appliances: Iterable[str] | None = None,
    ) -> "pd.DataFrame":
        """Return the jobs that were reported with another start or end after they had ended.

        Parameters as for `observations`.

        Returns
        -------
        DataFrame
            Of `backupkit.tables.CONFLICTS`.
        """
        with self._database.read() as reader:
            # a job observed once cannot have a conflict
            again = "j.first_seen_at < j.last_seen_at"
            seen = reading.read_observations(
                reader, reading.Filter.parse(at=at, appliances=appliances), again
            )
        found = tables.conflicts_in(seen)
        if since is None:
            return found
        return found[found["observed_at"] >= parse_instant(since, where="since")]

    def observations(
        self,
        *,
        at: Instant | None = None,
        since: Instant | None = None,
        appliances: Iterable[str] | None = None,
    ) -> "pd.DataFrame":
        """Return the observations.

        Parameters
        ----------
        at : datetime or str, optional
            Only rows that were known at this instant.
        since : datetime or str, optional
            Only rows from this instant on.
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
        wanted = reading.Filter.parse(at=at, since=since, appliances=appliances)
        with self._database.read() as reader:
            return reading.read_observations(reader, wanted)

    def jobs(
        self,
        *,
        at: Instant | None = None,
        since: Instant | None = None,
        appliances: Iterable[str] | None = None,
        columns: Sequence[str] | None = None,
    ) -> "pd.DataFrame":
        """Return the newest state of each job.

        Parameters
        ----------
        at, since, appliances
            As for `observations`; `since` returns the jobs that were observed since.
        columns : sequence of str, optional
            Only these columns; fewer are read faster.

        Returns
        -------
        DataFrame
            Of `backupkit.tables.JOBS`, by appliance and start.
        """
        wanted = reading.Filter.parse(at=at, since=since, appliances=appliances)
        with self._database.read() as reader:
            return reading.read_jobs(reader, wanted, columns=columns)

    def polls(
        self,
        *,
        at: Instant | None = None,
        since: Instant | None = None,
        appliances: Iterable[str] | None = None,
    ) -> "pd.DataFrame":
        """Return the polls: `backupkit.tables.POLLS`; parameters as for `observations`."""
        wanted = reading.Filter.parse(at=at, since=since, appliances=appliances)
        with self._database.read() as reader:
            return reading.read_table(reader, POLLS, wanted)

    def schedules(
        self,
        *,
        at: Instant | None = None,
        since: Instant | None = None,
        appliances: Iterable[str] | None = None,
    ) -> "pd.DataFrame":
        """Return the schedules: `backupkit.tables.SCHEDULES`; parameters as for `observations`.

        There is a row for each change of a schedule.
        """
        wanted = reading.Filter.parse(at=at, since=since, appliances=appliances)
        with self._database.read() as reader:
            return reading.read_table(reader, SCHEDULES, wanted)

    def view(
        self,
        *,
        at: Instant | None = None,
        appliances: Iterable[str] | None = None,
        start: Instant | None = None,
        end: Instant | None = None,
        now: Instant | None = None,
        hosts: Mapping[str, str] | None = None,
    ) -> "HistoryView":
        """Return jobs, polls and schedules of one moment, even if others append meanwhile.

        Parameters
        ----------
        at, appliances
            As for `observations`.
        start, end, now : datetime or str, optional
            Only the rows that an evaluation of this period at this moment needs, and the totals
            of all others; by default everything.
        hosts : mapping of str to str, optional
            The host of each appliance. With a period, an evaluation looks back to the newest backup
            that is not on the appliance itself.

        Returns
        -------
        HistoryView
            Jobs, polls and schedules; and the nodes of the SSO domains, as last read.
        """
        wanted = reading.Filter.parse(at=at, appliances=appliances)
        with self._database.read() as reader:
            if start is not None and end is not None and now is not None:
                period = {"start": start, "end": end, "now": now}
                moments = {
                    name: reading.parse_microseconds(when, where=name)
                    for name, when in period.items()
                }
                found = reading.read_evidence(reader, wanted, **moments, hosts=hosts or {})
            else:
                found = reading.read_view(reader, wanted)
            return replace(found, domain_nodes=read_domain_nodes(reader))

    def sql(self, query: str) -> "pd.DataFrame":
        """Run a query in SQL, such as ``SELECT * FROM v_last_success``; it cannot change anything.

        Parameters
        ----------
        query : str
            A SELECT. docs/data-model.md lists the tables and views.

        Returns
        -------
        DataFrame
            Values as in the database; times of the views are ISO 8601 texts.

        Raises
        ------
        HistoryError
            If the query is wrong.

        Notes
        -----
        To read a history file in the same Python process use this method, not a connection of your
        own: SQLite loses its locks when another library in the process closes the file.
        """
        with self._database.read() as reader:
            return reader.frame(query)

    def verify(self, *, head: str | None = None) -> "pd.DataFrame":
        """Compute all digests and jobs again, and compare them with the stored ones.

        Parameters
        ----------
        head : str, optional
            Head digest of a report: check also that its data is still contained, unchanged.

        Returns
        -------
        DataFrame
            A row for each difference: what, problem; both str. Empty if the history is intact.

        Examples
        --------
        >>> import tempfile
        >>> len(History(Path(tempfile.mkdtemp()) / "history.db").verify())
        0
        """
        return reading.find_problems(self._database, head)

    def backup(self, target: str | Path) -> Path:
        """Copy the history into a new SQLite file, even while others append.

        Parameters
        ----------
        target : str or Path
            The new file.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        HistoryError
            If the target exists already, or cannot be written.
        """
        return reading.backup(self._database, Path(target))

    def export(self, target: str | Path, *, kind: Kind = "parquet") -> tuple[str, ...]:
        """Write jobs, observations, polls, schedules and notes for other programs.

        Parameters
        ----------
        target : str or Path
            A new folder; for Parquet also a URL that pyarrow or fsspec opens.
        kind : {"parquet", "csv"}
            Format. Parquet is partitioned by month.

        Returns
        -------
        tuple of str
            The files, or the folders of tables.

        Raises
        ------
        HistoryError
            If the history cannot be read, or the target cannot be written.
        """
        return reading.export(self._database, str(target), kind)

    def merge(self, source: str | Path) -> AppendResult:
        """Append the rows and the notes of another history; merging it again changes nothing.

        Parameters
        ----------
        source : str or Path
            Another history, or the folder or URL of an export as Parquet.

        Returns
        -------
        AppendResult
            Number of added rows.

        Raises
        ------
        HistoryError
            If the source cannot be read, or this history cannot be written.
        """
        added = AppendResult()
        notes = reading.read_notes(source)
        for frames in reading.read_frames(source, into=self._database):
            added += self._append(frames, keep_all=True)
        self.notes.merge(notes)
        return added

    def prune(self, before: Instant) -> dict[str, int]:
        """Remove the rows learnt before an instant; the ledger records the removal.

        Parameters
        ----------
        before : datetime or str
            The instant.

        Returns
        -------
        dict of str to int
            Number of removed observations, polls and schedules.

        Raises
        ------
        HistoryError
            If the history cannot be read or written.

        Notes
        -----
        The schedules in force stay. A job that its appliance still lists returns with the next
        collection. Reports of the time before can no longer be reproduced.
        """
        return reading.prune(self._database, reading.parse_microseconds(before, where="before"))

    def forget(self, appliance: str) -> dict[str, int]:
        """Remove all rows of an appliance; the ledger records their number.

        Parameters
        ----------
        appliance : str
            Its name.

        Returns
        -------
        dict of str to int
            Number of removed observations, polls and schedules.

        Raises
        ------
        HistoryError
            If the appliance is unknown, or the history cannot be read or written.

        Notes
        -----
        An appliance that is still in fleet.toml returns with the next collection. No byte of the
        name stays in a SQLite file. PostgreSQL overwrites its files and logs later.
        """
        return reading.forget(self._database, appliance)

    def facts(self) -> dict[str, str]:
        """Return the figures of `info` as texts for a reader.

        Returns
        -------
        dict of str to str
            Texts by name: appliances, jobs, observations, polls, times, size.

        Raises
        ------
        HistoryError
            If the history cannot be read.
        """
        return reading.format_info(self.info())

    def info(self) -> dict[str, Any]:
        """Return the number of rows, the times of the first and the last one, and the size.

        Returns
        -------
        dict
            appliances, jobs, observations, polls, polls_failed and appends (int); size (int,
            bytes); first_observation and last_poll (datetime in UTC, None if there is none); head
            (str, "" if it is empty); removals, a dict of time, kind and rows for each;
            domain_nodes, a dict for each row of `domain_nodes`.

        Raises
        ------
        HistoryError
            If the history cannot be read.
        """
        size = self._database.size()
        with self._database.read() as reader:
            info = reading.read_info(reader, size=size)
            return {**info, "domain_nodes": [asdict(node) for node in read_domain_nodes(reader)]}

    def __repr__(self) -> str:
        return f"History({self.uri!r})"

    def _repr_html_(self) -> str:
        try:
            return str(
                display.render_container(
                    display.render_key_value_table(self.facts(), caption=f"History {self.uri}")
                )
            )
        except HistoryError as error:
            return str(display.render_container(display.render_paragraph(str(error), "breach")))


def _reopen_history(uri: str, keep: int | None) -> History:
    keep_polls = None if keep is None else timedelta(microseconds=keep)
    return History(uri, create=False, keep_polls=keep_polls)


def _to_stored(snapshot: Snapshot) -> Stored:
    """Return the columns of a snapshot as they are stored, from its plain rows if it has them."""
    records: Mapping[str, Records] | None = getattr(snapshot, "records", None)
    if records is None:
        return reading.to_stored_frames(snapshot.observations, snapshot.polls, snapshot.schedules)
    return {name: to_stored(records[name]) for name in ("observations", "polls", "schedules")}

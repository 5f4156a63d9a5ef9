"""All snapshots, in one SQLite file or in a PostgreSQL database."""

import contextlib
import secrets
import time
from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pandas as pd

from backupkit.display import container, key_value_table, paragraph
from backupkit.errors import HistoryError
from backupkit.history import append as _append
from backupkit.history import exchange, retention
from backupkit.history.append import Snapshot
from backupkit.history.append_result import AppendResult
from backupkit.history.databases import Connection, open_database
from backupkit.history.evidence import read_evidence
from backupkit.history.exchange import Kind
from backupkit.history.queries import (
    Filter,
    head_at,
    known_jobs,
    microseconds,
    read_jobs,
    read_observations,
    read_table,
    sync_state,
)
from backupkit.history.stats import facts_of
from backupkit.history.verify import find_problems
from backupkit.settings import Instant, parse_instant
from backupkit.tables import (
    OBSERVATIONS,
    POLLS,
    SCHEDULES,
    HistoryView,
    SyncState,
    conflicts_in,
)

__all__ = ["KEEP_POLLS", "History"]

KEEP_POLLS: Final = timedelta(days=90)


class _UndoneError(Exception):
    """Raised to roll back a test write."""


class History:
    """All snapshots ever kept.

    Parameters
    ----------
    target : str or Path
        A file, by convention ``history.db``; or ``postgresql://user@host:port/database``. The
        password of a database is found by libpq's own ways: PGPASSWORD, a file that PGPASSFILE
        names, or a service file.
    create : bool
        Whether to make a new one; False makes a missing history an error.
    keep_polls : timedelta or None
        For how long all polls are kept. Of older ones each append removes a few that no figure
        needs; None keeps all.

    Raises
    ------
    HistoryError
        If it is something else than a history, or cannot be used.

    Notes
    -----
    Of polls older than `keep_polls` these stay: of each appliance and UTC day the first and the
    last good one, the ones before and after each change between good and failed, and the good ones
    whose gaps make the cadence. How old a poll is is counted from the newest append.

    An append is one transaction: it is acknowledged once it is on disk, and a process that is
    killed leaves either all of it or nothing. Several processes may append and read at the same
    time. A file must lie on a local disk, as SQLite's log needs memory that processes share.

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
        """Travel to another process as a path or URL."""
        return _reopened, (self.uri, self._keep)

    def check_writable(self) -> None:
        """Begin to write and undo it: what would fail later fails now.

        Raises
        ------
        HistoryError
            If the history cannot be written, as one that is locked or read-only.
        """

        def attempt(connection: Connection) -> None:
            connection.execute("UPDATE history SET head = head")
            raise _UndoneError

        with contextlib.suppress(_UndoneError):
            self._database.write(attempt)

    @property
    def identity(self) -> bytes:
        """Random bytes of this history alone: with them a report's redacted names are made."""
        with self._database.read() as reader:
            [(text,)] = reader.rows("SELECT identity FROM history", {"identity": "text"})
        return bytes.fromhex(text)

    @property
    def head(self) -> str:
        """The digest that stands for all that was ever appended, 64 hexadecimal digits."""
        with self._database.read() as reader:
            return head_at(reader)

    def append(self, snapshot: Snapshot) -> AppendResult:
        """Keep what is new in a snapshot; appending the same one again changes nothing.

        Parameters
        ----------
        snapshot : Snapshot
            What `backupkit.collect` brought back.

        Returns
        -------
        AppendResult
            How many rows were added. Observations and schedules are kept only where they say
            something new; polls each once.

        Raises
        ------
        HistoryError
            If it cannot be written; what was kept before is still there.
        """
        return self._append(snapshot, keep_all=False)

    def _append(self, snapshot: Snapshot, *, keep_all: bool) -> AppendResult:
        frames = exchange.Frames(
            OBSERVATIONS.check(snapshot.observations),
            POLLS.check(snapshot.polls),
            SCHEDULES.check(snapshot.schedules),
        )
        run_id = secrets.token_hex(16)
        first_try = AppendResult()

        def action(connection: Connection) -> AppendResult:
            nonlocal first_try
            done = _append.append(connection, frames, run_id=run_id, keep_all=keep_all)
            if done is None:  # the connection broke when it was kept already
                return first_try
            first_try = done
            if self._keep is not None:
                retention.thin(connection, time.time_ns() // 1000, self._keep)
            return done

        return self._database.write(action)

    def sync_state(self, *, ids: bool = True) -> dict[str, SyncState]:
        """Sum up what is known of each appliance, for the next `backupkit.collect`.

        Parameters
        ----------
        ids : bool
            Whether to read the ids of all jobs that are still listed; `known_jobs` looks up those
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
        with self._database.read() as reader:
            return sync_state(reader, ids=ids)

    def known_jobs(
        self, appliance: str, listed: Collection[str]
    ) -> tuple[frozenset[str], frozenset[str]]:
        """Look up what is known of the jobs that an appliance lists now.

        Parameters
        ----------
        appliance : str
            Its name.
        listed : collection of str
            The ids of the jobs.

        Returns
        -------
        known : frozenset of str
            The jobs that were listed before: those of `listed`, and those that are missing there.
        finished : frozenset of str
            Those of them that have ended.

        Raises
        ------
        HistoryError
            If the tables cannot be read.
        """
        return self._database.look_up(lambda rows: known_jobs(rows, appliance, listed))

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
        with self._database.read() as reader:
            # a job observed once contradicts nobody
            again = "j.first_seen_at < j.last_seen_at"
            seen = read_observations(reader, Filter.parse(at=at, appliances=appliances), again)
        found = conflicts_in(seen)
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
        wanted = Filter.parse(at=at, since=since, appliances=appliances)
        with self._database.read() as reader:
            return read_observations(reader, wanted)

    def jobs(
        self,
        *,
        at: Instant | None = None,
        since: Instant | None = None,
        appliances: Iterable[str] | None = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Read the newest of each job; at, since and appliances as of `observations`.

        Parameters
        ----------
        at, since, appliances
            As of `observations`. With `since`, the jobs of which something was learnt since.
        columns : sequence of str, optional
            Only these columns; fewer are read faster.

        Returns
        -------
        DataFrame
            Of `backupkit.tables.JOBS`, by appliance and start.
        """
        wanted = Filter.parse(at=at, since=since, appliances=appliances)
        with self._database.read() as reader:
            return read_jobs(reader, wanted, columns=columns)

    def polls(
        self,
        *,
        at: Instant | None = None,
        since: Instant | None = None,
        appliances: Iterable[str] | None = None,
    ) -> pd.DataFrame:
        """Read the polls, of `backupkit.tables.POLLS`; parameters as of `observations`."""
        wanted = Filter.parse(at=at, since=since, appliances=appliances)
        with self._database.read() as reader:
            return read_table(reader, POLLS, wanted)

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
        wanted = Filter.parse(at=at, since=since, appliances=appliances)
        with self._database.read() as reader:
            return read_table(reader, SCHEDULES, wanted)

    def view(
        self,
        *,
        at: Instant | None = None,
        appliances: Iterable[str] | None = None,
        start: Instant | None = None,
        end: Instant | None = None,
        now: Instant | None = None,
    ) -> HistoryView:
        """Read what belongs together, whoever appends meanwhile.

        Parameters
        ----------
        at, appliances
            As of `observations`.
        start, end, now : datetime or str, optional
            Only what an evaluation of this period at this moment needs, and the totals of the rest;
            by default everything.

        Returns
        -------
        Known
            jobs, polls and schedules.
        """
        wanted = Filter.parse(at=at, appliances=appliances)
        with self._database.read() as reader:
            if start is not None and end is not None and now is not None:
                period = {"start": start, "end": end, "now": now}
                moments = {name: microseconds(when, where=name) for name, when in period.items()}
                return read_evidence(reader, wanted, **moments)
            return HistoryView(
                read_jobs(reader, wanted),
                read_table(reader, POLLS, wanted),
                read_table(reader, SCHEDULES, wanted),
                version=head_at(reader, wanted.at) or None,
            )

    def sql(self, query: str) -> pd.DataFrame:
        """Ask in SQL, such as ``SELECT * FROM v_last_success``; nothing can be changed.

        Parameters
        ----------
        query : str
            A SELECT. docs/data-model.md lists the tables and views.

        Returns
        -------
        DataFrame
            As the database gives it: times of the views are ISO 8601 texts.

        Raises
        ------
        HistoryError
            If the query is wrong.

        Notes
        -----
        To read a history's file in the same Python process use this, and not a connection of your
        own: SQLite's locks are lost when another library in the process closes the file.
        """
        with self._database.read() as reader:
            return reader.frame(query)

    def verify(self, *, head: str | None = None) -> pd.DataFrame:
        """Recompute all digests and all jobs, and hold them against what is kept.

        Parameters
        ----------
        head : str, optional
            A digest that a report was made from: is that past still contained, unchanged?

        Returns
        -------
        DataFrame
            A row for each thing that differs: what, problem; both str. Empty if the history is
            whole.

        Examples
        --------
        >>> import tempfile
        >>> len(History(Path(tempfile.mkdtemp()) / "history.db").verify())
        0
        """
        return find_problems(self._database, head)

    def backup(self, target: str | Path) -> Path:
        """Copy the history into a new file, while others go on appending.

        Parameters
        ----------
        target : str or Path
            The new file; of a history in PostgreSQL, too.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        HistoryError
            If the target exists already, or cannot be written.
        """
        return exchange.backup(self._database, Path(target))

    def export(self, target: str | Path, *, kind: Kind = "parquet") -> tuple[str, ...]:
        """Write jobs, observations, polls and schedules for other programs.

        Parameters
        ----------
        target : str or Path
            A new folder; for Parquet also a URL that pyarrow or fsspec opens.
        kind : {"parquet", "csv"}
            What to write. Parquet is partitioned by month.

        Returns
        -------
        tuple of str
            The files, or the folders of tables.

        Raises
        ------
        HistoryError
            If the history cannot be read, or the target not be written.
        """
        return exchange.export(self._database, str(target), kind)

    def merge(self, source: str | Path) -> AppendResult:
        """Take over what another history holds; doing so again changes nothing.

        Parameters
        ----------
        source : str or Path
            Another history, or the folder or URL of an export as Parquet.

        Returns
        -------
        AppendResult
            How many rows were added.

        Raises
        ------
        HistoryError
            If the source cannot be read, or this history not be written.
        """
        added = AppendResult()
        for frames in exchange.frames_of(source, into=self._database):
            added += self._append(frames, keep_all=True)
        return added

    def prune(self, before: Instant) -> dict[str, int]:
        """Remove for good what was learnt before an instant; the ledger records it.

        Parameters
        ----------
        before : datetime or str
            The instant.

        Returns
        -------
        dict of str to int
            How many observations, polls and schedules were removed.

        Raises
        ------
        HistoryError
            If the history cannot be read or written.

        Notes
        -----
        The schedules in force stay. A job that its appliance still lists comes back with the next
        collection. Reports of the time before are not the same any more: what they rested on is
        gone.
        """
        return retention.prune(self._database, microseconds(before, where="before"))

    def forget(self, appliance: str) -> dict[str, int]:
        """Remove all that is known of an appliance for good; the ledger records how much it was.

        Parameters
        ----------
        appliance : str
            Its name.

        Returns
        -------
        dict of str to int
            How many observations, polls and schedules were removed.

        Raises
        ------
        HistoryError
            If nothing is known of it, or the history cannot be read or written.

        Notes
        -----
        An appliance that is still in fleet.toml comes back with the next collection. No byte of the
        name stays in a SQLite file; PostgreSQL overwrites its own files and logs in its own time.
        """
        return retention.forget(self._database, appliance)

    def facts(self) -> dict[str, str]:
        """Count what is kept.

        Returns
        -------
        dict of str to str
            By what it is: appliances, jobs, observations, polls, from when to when, size.

        Raises
        ------
        HistoryError
            If the history cannot be read.
        """
        size = self._database.size()
        with self._database.read() as reader:
            return facts_of(reader, size=size)

    def __repr__(self) -> str:
        return f"History({self.uri!r})"

    def _repr_html_(self) -> str:
        try:
            return str(container(key_value_table(self.facts(), caption=f"History {self.uri}")))
        except HistoryError as error:
            return str(container(paragraph(str(error), "breach")))


def _reopened(uri: str, keep: int | None) -> History:
    keep_polls = None if keep is None else timedelta(microseconds=keep)
    return History(uri, create=False, keep_polls=keep_polls)

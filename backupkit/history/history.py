"""History: every snapshot ever kept, as Delta Lake tables in one folder.

What one visit brought back goes into three tables, and its poll is written last: only what a poll
vouches for is ever read. A collector that is killed in the middle leaves rows that nobody sees,
and the next round brings them again.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

import pandas as pd
import pyarrow as pa

from backupkit.display import fact_table, line, panel
from backupkit.errors import HistoryError
from backupkit.history.appended import Appended
from backupkit.history.checking import problems
from backupkit.history.choice import ALL, Choice
from backupkit.history.counting import facts_of
from backupkit.history.exchange import Kind, read_parquet, write_tables
from backupkit.history.layout import neighbours
from backupkit.history.mark import identity
from backupkit.history.place import Folder, is_url
from backupkit.history.removal import forget, prune
from backupkit.history.store import TABLES, Store
from backupkit.history.stored import TIME
from backupkit.settings import Instant, parse_instant
from backupkit.tables import (
    MEMORY,
    OBSERVATIONS,
    POLLS,
    SCHEDULES,
    Known,
    Remembered,
    Table,
    changed_observations,
    changed_schedules,
    conflicts_in,
    jobs_from,
    newest_of,
    remembered_from,
)

__all__ = ["History"]

_AT_ONCE: Final = 2_000_000
"""Observations that are counted at once."""


class _Snapshot(Protocol):
    """What can be appended: a `backupkit.Snapshot`, or anything with its three frames."""

    @property
    def observations(self) -> pd.DataFrame: ...
    @property
    def polls(self) -> pd.DataFrame: ...
    @property
    def schedules(self) -> pd.DataFrame: ...


class History:
    """All snapshots ever kept.

    Parameters
    ----------
    path : str or Path
        The folder. It is created if it does not exist, or is empty. Or a URL that Delta Lake
        opens, such as ``s3://bucket/history`` or ``az://container/history``.
    create : bool
        Whether to create it; False makes a missing folder an error.
    storage_options : mapping of str to str, optional
        What Delta Lake needs to get to a URL, such as keys and the endpoint; what is not given is
        taken from the environment, such as ``AWS_ACCESS_KEY_ID``. A request that fails is tried
        again for half a minute, unless ``max_retries`` and ``retry_timeout`` say otherwise.

    Raises
    ------
    HistoryError
        If the path is something else than a history folder, or cannot be used.

    Notes
    -----
    In a folder every append is on disk before it is acknowledged, and every file is held against
    its seal (size, SHA-256) when it is read. At a URL the store's own promises hold instead; it
    must know to write only what is not there yet, as S3, Azure and Google do.

    Examples
    --------
    >>> import tempfile
    >>> history = History(tempfile.mkdtemp())
    >>> len(history.jobs())
    0
    """

    def __init__(
        self,
        path: str | Path,
        *,
        create: bool = True,
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        self.storage_options = dict(storage_options or {})
        self._store = Store(path, self.storage_options, create=create)
        self.uri = self._store.uri

    @property
    def path(self) -> Path:
        """The folder; of a history at a URL only its name."""
        return Path(self.uri)

    @property
    def identity(self) -> bytes:
        """Random bytes of this history alone: with them a report's redacted names are made.

        Raises
        ------
        HistoryError
            If the history is of a time before it had any, and none can be written.
        """
        return identity(self._store.place)

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
        known = self._known_of(told)
        observations = changed_observations(told, known)
        plans = SCHEDULES.check(snapshot.schedules)
        schedules = changed_schedules(plans, self.schedules()) if len(plans) else plans
        visits = POLLS.check(snapshot.polls).drop_duplicates(["appliance", "polled_at"])
        added = self._store.keep({SCHEDULES: schedules, OBSERVATIONS: observations, POLLS: visits})
        return Appended.of(observations, known, polls=added["polls"], schedules=len(schedules))

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
        return remembered_from(self._store.told(OBSERVATIONS, ALL, MEMORY), self.polls())

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
        return self._read(OBSERVATIONS, Choice.of(at=at, since=since, appliances=appliances))

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
        choice = Choice.of(at=at, appliances=appliances)
        # handed straight on: whoever held the rows would hold their memory until the jobs are there
        jobs = newest_of(self._store.told(OBSERVATIONS, choice))
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
        return self._read(POLLS, Choice.of(at=at, since=since, appliances=appliances))

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
        return self._read(SCHEDULES, Choice.of(at=at, since=since, appliances=appliances))

    def known(
        self,
        *,
        at: Instant | None = None,
        appliances: Iterable[str] | None = None,
        polls: pd.DataFrame | None = None,
    ) -> Known:
        """Read some visits and what they brought: it belongs together, whoever appends meanwhile.

        Parameters
        ----------
        at, appliances
            As of `observations`.
        polls : DataFrame, optional
            Only what these visits brought, of `backupkit.tables.POLLS`.

        Returns
        -------
        Known
            jobs, polls and schedules.
        """
        choice = Choice.of(at=at, appliances=appliances)
        visits = self.polls(at=at, appliances=appliances) if polls is None else polls
        vouching = POLLS.to_arrow(visits)  # polls are written last: what these brought is there
        return Known(
            newest_of(self._store.told(OBSERVATIONS, choice, polls=vouching)),
            visits,
            _framed(SCHEDULES, self._store.told(SCHEDULES, choice, polls=vouching)),
        )

    def _known_of(self, told: pd.DataFrame) -> pd.DataFrame:
        """Read the observations of the jobs of which something is told."""
        # mostly all jobs are new: a look at who is known is enough then
        choice = Choice(appliances=set(told["appliance"]), jobs=set(told["job_id"]))
        columns = ["appliance", "job_id", "observed_at"]
        seen = self._store.told(OBSERVATIONS, choice, columns) if len(told) else None
        if not seen:
            return OBSERVATIONS.empty()
        names, jobs = (set(seen[name].unique().to_pylist()) for name in columns[:2])
        return self._read(OBSERVATIONS, Choice(appliances=names, jobs=jobs))

    def _read(self, table: Table, choice: Choice) -> pd.DataFrame:
        return _framed(table, self._store.told(table, choice))

    def _frames(self) -> dict[str, pd.DataFrame]:
        """Read all tables, so that they belong together."""
        polls = self.polls()
        vouching = POLLS.to_arrow(polls)
        brought = {
            table.name: _framed(table, self._store.told(table, ALL, polls=vouching))
            for table in (OBSERVATIONS, SCHEDULES)
        }
        return {"observations": brought["observations"], "polls": polls} | brought

    def count(self) -> int:
        """Count the observations by the log alone, no matter whether a poll vouches for them."""
        number: int = self._store.guard("read", self._store.tables[OBSERVATIONS.name].count)
        return number

    @property
    def sealed(self) -> bool:
        """Whether a seal vouches for all that was ever kept.

        An earlier version made none, and there is none at a URL.
        """
        return self._store.seals is not None and self._store.seals.complete

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
        return problems(self._store.tables, self._store.seals)

    def compact(self) -> None:
        """Put small files together now; the rows stay the same.

        It happens by itself every so many appends.

        Raises
        ------
        HistoryError
            If the history cannot be read or written.
        """
        self._store.tidy()

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
        frames = self._frames()
        jobs = jobs_from(frames["observations"])
        return write_tables({"jobs": jobs, **frames}, Path(target), kind)

    def merge(
        self, source: str | Path, *, storage_options: Mapping[str, str] | None = None
    ) -> Appended:
        """Take over what another history holds; doing so again changes nothing.

        Parameters
        ----------
        source : str or Path
            The folder or the URL of a history, or the folder of its export as Parquet.
        storage_options : mapping of str to str, optional
            What Delta Lake needs to get to the URL of the source; as of `History`.

        Returns
        -------
        Appended
            How many rows were added.

        Raises
        ------
        HistoryError
            If the source cannot be read, or this history not be written.
        """
        frames = _frames_of(source, storage_options)
        told, known = frames["observations"], self.observations()
        added = self._store.keep({table: frames[table.name] for table in TABLES})
        keys = ["appliance", "job_id"]
        new = ~pd.MultiIndex.from_frame(told[keys]).isin(pd.MultiIndex.from_frame(known[keys]))
        jobs = len(told.loc[new, keys].drop_duplicates())
        return Appended(
            new=jobs,
            changed=added["observations"] - jobs,
            polls=added["polls"],
            schedules=added["schedules"],
        )

    def prune(self, before: Instant) -> dict[str, int]:
        """Remove for good what was learnt before an instant; the mark records it.

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
        The schedules in force stay, as if first seen by the oldest good visit that is left. A job
        that its appliance still lists comes back with the next round. Reports of the time before
        are not the same any more: what they rested on is gone.
        """
        moment = parse_instant(before, where="before")
        return prune(self._store, moment)

    def forget(self, appliance: str) -> dict[str, int]:
        """Remove all that is known of an appliance for good; the mark records how much it was.

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
        An appliance that is still in fleet.toml comes back with the next round.
        """
        if not self._store.knows(appliance):
            raise HistoryError(
                f"The history {self.uri} knows no appliance {appliance!r}. Its names are those of "
                "fleet.toml; nothing was removed."
            )
        return forget(self._store, appliance)

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
        polls = self._store.told(POLLS, ALL, ["appliance", "polled_at", "ok"])
        return facts_of(self._keys_of_jobs(polls), polls, size=self._size(), mark=self._store.mark)

    def _keys_of_jobs(self, polls: pa.Table) -> Iterator[pa.Table]:
        """Read only the columns that tell how many jobs there are, of some appliances at a time."""
        number = 1 + self.count() // _AT_ONCE
        for names in neighbours(polls["appliance"].unique().to_pylist(), number):
            choice = ALL if number == 1 else Choice(appliances=names)
            columns = ["appliance", "job_id", "observed_at"]
            yield self._store.told(OBSERVATIONS, choice, columns, polls=polls)

    def _size(self) -> int | None:
        """Add up the files [bytes]; at a URL that is not known."""
        if self._store.seals is None:
            return None
        sizes = []
        for file in self.path.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # tidied away meanwhile
                sizes.append(file.stat().st_size if file.is_file() else 0)
        return sum(sizes)

    def __repr__(self) -> str:
        return f"History({self.uri!r})"

    def _repr_html_(self) -> str:
        try:
            return str(panel(fact_table(self.facts(), caption=f"History {self.uri}")))
        except HistoryError as error:
            return str(panel(line(str(error), "breach")))


def _frames_of(source: str | Path, options: Mapping[str, str] | None) -> dict[str, pd.DataFrame]:
    """Read another history, or its export."""
    if is_url(source) or Folder(Path(source)).read() is not None:
        kept = History(source, create=False, storage_options=options)
        return kept._frames()  # noqa: SLF001 # it is of this class
    return read_parquet(Path(source))


def _framed(table: Table, rows: pa.Table) -> pd.DataFrame:
    """Give rows in the order in which they were learnt."""
    frame = table.from_arrow(rows)
    names = [name for name in ("appliance", "job_id", "schedule") if name in frame]
    return frame.sort_values([TIME[table.name], *names], kind="stable", ignore_index=True)

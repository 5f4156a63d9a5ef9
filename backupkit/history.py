"""History: every snapshot ever kept, as Delta Lake tables in one folder."""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from backupkit.errors import HistoryError, one_line
from backupkit.settings import Instant, parse_instant
from backupkit.tables import (
    OBSERVATIONS,
    POLLS,
    SCHEDULES,
    Table,
    changed_observations,
    changed_schedules,
    jobs_from,
)

__all__ = ["Appended", "History"]

FORMAT: Final = 1
"""The version of the folder's layout."""

_MARK: Final = "backupkit-history.json"
_ADVICE: Final = {
    "read": "Check the folder's rights; if it is damaged, put it back from a backup.",
    "written": "Nothing that was kept is changed; check the folder's rights and the free space.",
}
_TIME: Final = {"observations": "observed_at", "polls": "polled_at", "schedules": "seen_at"}


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
    """How many rows an append added; the rest was known already."""

    observations: int
    polls: int
    schedules: int


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
        names = sorted(set(OBSERVATIONS.check(snapshot.observations)["appliance"]))
        observations = changed_observations(
            snapshot.observations, self.observations(appliances=names)
        )
        schedules = changed_schedules(SCHEDULES.check(snapshot.schedules), self.schedules())
        polls = POLLS.check(snapshot.polls).drop_duplicates(["appliance", "polled_at"])
        key = pd.MultiIndex.from_frame(polls[["appliance", "polled_at"]])
        since = polls["polled_at"].min() if len(polls) else None
        kept = self.polls(since=since)[["appliance", "polled_at"]]
        polls = polls[~key.isin(pd.MultiIndex.from_frame(kept))]
        # polls last: a poll that is kept says that all it brought back is kept too
        for table, frame in ((SCHEDULES, schedules), (OBSERVATIONS, observations), (POLLS, polls)):
            if len(frame):
                self._write(table, frame)
        return Appended(len(observations), len(polls), len(schedules))

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

    def _open(self, table: Table) -> DeltaTable | None:
        """Open a table; None before its first row."""
        where = self.path / table.name
        if not DeltaTable.is_deltatable(str(where)):
            return None
        for commit in (where / "_delta_log").glob("*.json"):
            if not commit.stat().st_size:  # Delta would pass over the rows it names
                raise OSError(f"{commit.name} in its log is empty, as after a power failure")
        return DeltaTable(str(where))

    def _read(
        self,
        table: Table,
        *,
        at: Instant | None,
        since: Instant | None,
        appliances: Iterable[str] | None,
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

        def read() -> pd.DataFrame:
            stored = self._open(table)
            if stored is None:
                return table.empty()
            rows = stored.to_pyarrow_dataset().to_table(columns=table.names, filter=filters)
            return table.from_arrow(rows)

        frame: pd.DataFrame = self._guard("read", read)
        by = [time, "appliance", *[name for name in ("job_id", "schedule") if name in frame]]
        return frame.sort_values(by, kind="stable", ignore_index=True)

    def _write(self, table: Table, frame: pd.DataFrame) -> None:
        where = str(self.path / table.name)
        rows = table.to_arrow(frame)
        self._guard("written", lambda: write_deltalake(where, rows, mode="append"))

    def _guard(self, verb: str, action: Callable[[], Any]) -> Any:  # noqa: ANN401 # the action knows
        """Turn what Delta and Arrow raise into a sentence."""
        try:
            return action()
        except (DeltaError, OSError, ValueError) as error:
            why = one_line(str(error)).rstrip(".") or type(error).__name__
            raise HistoryError(
                f"The history {self.path} cannot be {verb}: {why}. {_ADVICE[verb]}"
            ) from error


def _is_draft(path: Path) -> bool:
    """Tell whether this is a mark that another process is about to write, or did not finish."""
    return path.name.startswith(f".{_MARK}.")


def _write_mark(mark: Path) -> None:
    """Write the mark whole or not at all."""
    draft = mark.with_name(f".{mark.name}.{os.getpid()}")
    draft.write_text(json.dumps({"format": FORMAT}) + "\n", encoding="utf-8")
    draft.replace(mark)


def _arrow(when: Instant) -> Any:  # noqa: ANN401 # an Arrow scalar
    return pa.scalar(parse_instant(when, where="the time"), type=pa.timestamp("us", tz="UTC"))

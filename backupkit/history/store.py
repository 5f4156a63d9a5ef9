"""The tables of one history, its mark and its seals, as one thing that is read and written."""

import functools
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from deltalake.exceptions import DeltaError

from backupkit.errors import HistoryError
from backupkit.history import mark
from backupkit.history.choice import Choice
from backupkit.history.migrations import STEPS, migrated
from backupkit.history.place import Folder, Place, Remote, is_url
from backupkit.history.reason import reason
from backupkit.history.sealed import Sealed
from backupkit.history.seals import Seals
from backupkit.history.stored import Stored
from backupkit.tables import OBSERVATIONS, POLLS, SCHEDULES, Table

__all__ = ["TABLES", "Store"]

TABLES: Final = (SCHEDULES, OBSERVATIONS, POLLS)
"""What a history holds, in the order in which it is written: polls vouch for the rest."""

_SEALS: Final = 96  # files; from so many on they are joined


class Store:
    """The tables of one history.

    Parameters
    ----------
    path : str or Path
        A folder, or a URL.
    options : mapping of str to str
        What Delta Lake needs to get to a URL.
    create : bool
        Whether a missing or an empty place becomes a history.

    Attributes
    ----------
    uri : str
        Where it is.
    place : Place
        Where its mark is.
    mark : Mark
        What the mark said when it was last read.
    seals : Seals or None
        None at a URL.
    tables : dict of str to Stored
        By name, in the order of `TABLES`.
    """

    def __init__(self, path: str | Path, options: Mapping[str, str], *, create: bool) -> None:
        self.seals: Seals | None = None
        self.place: Place
        self.tables: dict[str, Stored]
        if is_url(path):
            self.place = remote = Remote(str(path), options)
            self.tables = {
                table.name: Stored(table, f"{remote.uri}/{table.name}", remote.options)
                for table in TABLES
            }
        else:
            self.place = Folder(Path(path))
            self.seals = seals = Seals(Path(path))
            self.tables = {table.name: Sealed(table, seals) for table in TABLES}
        self.uri = self.place.uri
        self._take(mark.opened(self.place, STEPS, create=create))

    def _take(self, known: mark.Mark) -> None:
        self.mark = known
        if self.seals is not None:
            self.seals.complete = "seals" in known.steps

    def told(
        self,
        table: Table,
        choice: Choice,
        columns: Sequence[str] | None = None,
        *,
        polls: pa.Table | None = None,
    ) -> pa.Table:
        """Read what polls, or only these, vouch for, as it is stored."""
        stored, names = self.tables[table.name], columns or table.names
        rows: pa.Table | None = self.guard("read", lambda: stored.rows(names, choice))
        if rows is None:
            return table.arrow_schema.empty_table().select(names)
        if table is POLLS:
            return rows
        # the polls are read last: one written in between vouches for rows already seen
        if polls is None and rows.num_rows:
            polls = self.told(POLLS, _learnt_with(rows[stored.time]), ["polled_at"])
        return rows if polls is None else _vouched_for(rows, stored.time, polls)

    def knows(self, appliance: str) -> bool:
        """Tell whether there is any row of an appliance, vouched for or not."""
        choice = Choice(appliances=[appliance])
        reads = (
            functools.partial(stored.rows, ["appliance"], choice) for stored in self.tables.values()
        )
        return any(len(self.guard("read", read) or ()) for read in reads)

    def keep(self, frames: Mapping[Table, pd.DataFrame]) -> dict[str, int]:
        """Write what is missing of each table, the polls last; give how many rows."""
        run = secrets.token_hex(8)
        missing = {table: self._missing(table, frames[table]) for table in TABLES}
        self.guard("written", self.migrate)
        for table, frame in missing.items():
            if len(frame):
                rows = table.to_arrow(frame)
                stored = self.tables[table.name]
                self.guard("written", functools.partial(stored.write, rows, run=run))
        if self.seals is not None and len(self.seals) >= _SEALS:
            self.guard("written", self._join_seals)
        return {table.name: len(frame) for table, frame in missing.items()}

    def _missing(self, table: Table, frame: pd.DataFrame) -> pd.DataFrame:
        """Leave out what is there: also what an append wrote that failed before its polls."""
        if frame.empty:
            return frame
        stored = self.tables[table.name]
        keys = ["appliance", "job_id", "schedule", stored.time]
        keys = [name for name in keys if name in frame]
        # of an earlier time there is nothing that could be the same
        choice = Choice(since=frame[stored.time].min(), appliances=set(frame["appliance"]))
        rows = self.guard("read", lambda: stored.rows(keys, choice))
        if rows is None or not rows.num_rows:
            return frame
        there = pd.MultiIndex.from_frame(table.from_arrow(rows)[keys])
        return frame[~pd.MultiIndex.from_frame(frame[keys]).isin(there)]

    def migrate(self) -> None:
        """Bring what an earlier version began up to what this one expects."""
        self._take(migrated(self.mark, self.tables.values(), self.place))

    def tidy(self) -> None:
        """Put the small files of each table together, and the seals."""
        self.guard("written", self.migrate)
        for stored in self.tables.values():
            # what is damaged is not to be put together with what is whole
            self.guard("read", functools.partial(stored.rows, ["appliance"]))
            self.guard("written", stored.lay_out)  # what an earlier version appended since
            self.guard("written", functools.partial(stored.tidy, whole=True))
        self.guard("written", self._join_seals)

    def drop(self, what: str, conditions: Mapping[str, str]) -> dict[str, int]:
        """Remove rows for good, and record it.

        Parameters
        ----------
        what : str
            What it is, in words that name no appliance.
        conditions : mapping of str to str
            Which rows of which table, as Delta Lake's SQL. They are removed in this order.

        Returns
        -------
        dict of str to int
            How many rows, by table.
        """
        removed: dict[str, int] = {
            name: self.guard("written", functools.partial(self.tables[name].drop, condition))
            for name, condition in conditions.items()
        }
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        record = mark.Removal(at=now, what=what, rows=sum(removed.values()))
        self._take(self.guard("written", lambda: mark.recorded(self.place, record)))
        return removed

    def _join_seals(self) -> None:
        if self.seals is not None:
            # looked up once the seals are read: another writer's must not go with what is old
            self.seals.join(
                path
                for stored in self.tables.values()
                if isinstance(stored, Sealed)
                for path in stored.live()
            )

    def guard(self, verb: str, action: Callable[[], Any]) -> Any:  # noqa: ANN401 # the action knows
        """Turn what Delta and Arrow raise into a sentence."""
        try:
            return action()
        except (DeltaError, OSError, ValueError) as error:
            raise HistoryError(
                f"The history {self.uri} cannot be {verb}: {reason(error)}."
                f"{self.place.advice(verb)}"
            ) from error


def _learnt_with(times: pa.ChunkedArray) -> Choice:
    """Choose the polls that may vouch for rows of these times."""
    ends = pc.min_max(times)
    return Choice(since=ends["min"].as_py(), at=ends["max"].as_py())


def _vouched_for(rows: pa.Table, time: str, polls: pa.Table) -> pa.Table:
    """Leave out what was written by a collector that was killed before it wrote its polls."""
    times = pc.unique(rows[time])
    # nearly always each moment is one visit's: then looking at the moments is enough
    late = times.filter(pc.invert(pc.is_in(times, value_set=pc.unique(polls["polled_at"]))))
    if not len(late):
        return rows
    return rows.filter(pc.invert(pc.is_in(rows[time], value_set=late)))

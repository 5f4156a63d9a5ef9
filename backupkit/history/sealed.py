"""One table of a history in a folder of this machine: held against its seals when it is read."""

import json
import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from filelock import FileLock

from backupkit.history.layout import MONTH, SHARD, WRITER
from backupkit.history.log import Log
from backupkit.history.seals import DamageError, Seals
from backupkit.history.stored import TIDY_EVERY, Stored, as_dataset
from backupkit.tables import Table

__all__ = ["Sealed"]

_log = logging.getLogger(__name__)

_LOCK: Final = ".tidy.lock"
_PATIENCE: Final = 60.0  # s, until another process has put its files together


@dataclass(frozen=True, slots=True)
class _Known:
    """A table as it was when it was last read."""

    state: list[tuple[str, int]]
    dataset: ds.Dataset
    files: list[Path]
    all_placed: bool


class Sealed(Stored):
    """One Delta table in a folder of its own.

    Parameters
    ----------
    table : Table
        Its contract; the folder has its name.
    seals : Seals
        The seals of the history that it belongs to.
    """

    def __init__(self, table: Table, seals: Seals) -> None:
        self.seals = seals
        self.path = seals.folder / table.name
        self.log = self.path / "_delta_log"
        self._known: _Known | None = None
        super().__init__(table, str(self.path))

    def _dataset(self) -> ds.Dataset | None:
        """Open the table, every file of it as it was written; None before its first row."""
        sealed = self.seals.files()  # first: what is sealed later may be newer than the table
        log = Log.listed(self.log)
        if self.seals.complete and self._mend(log, sealed.keys()):
            log = Log.listed(self.log)
        acknowledged = self._acknowledged(sealed)
        if not log.commits and not log.checkpoints:
            if acknowledged.commits:
                first = acknowledged.commits[min(acknowledged.commits)]
                raise DamageError(f"{self.seals.name(first)} is missing")
            return None
        read = [*log.checkpoint, *log.read.values()]
        needed = {path for version, path in acknowledged.commits.items() if version > log.newest}
        self.seals.check({*read, *needed}, sealed)
        state = [(path.name, path.stat().st_mtime_ns) for path in read]
        known = self._known
        if known is None or known.state != state:
            stored = DeltaTable(self.uri)
            if (newest := max(acknowledged.commits, default=-1)) > stored.version():
                passed = acknowledged.commits[newest]
                raise DamageError(f"{self.seals.name(passed)} is passed over")
            files = self._files(stored)
            placed = all(path.parent.name.startswith(f"{MONTH}=2") for path in files)
            known = self._known = _Known(state, as_dataset(stored), files, placed)
        self.seals.check(known.files, sealed)
        return known.dataset

    def _all_placed(self) -> bool:
        # an earlier version may go on appending while, and after, the rows are laid out anew
        return self._known is None or self._known.all_placed

    def _acknowledged(self, sealed: Iterable[str]) -> Log:
        """Give the part of the log that appends were acknowledged with."""
        prefix = f"{self.table.name}/_delta_log/"
        names = (name.removeprefix(prefix) for name in sealed if name.startswith(prefix))
        return Log.of([self.log / name for name in names])

    def _opened(self) -> DeltaTable | None:
        self._table = None  # it may know what was put aside
        return super()._opened()

    def write(self, rows: pa.Table, *, run: str) -> None:
        """Append rows, and have them written to disk; see `Stored.write`."""
        self._write(rows, run=run)
        self.seal()
        if len(Log.listed(self.log).read) >= TIDY_EVERY:
            self.tidy()

    def seal(self) -> None:
        """Seal what is not sealed yet, whoever wrote it."""
        self.seals.seal(self.unsealed())

    def unsealed(self) -> list[Path]:
        """List the files in use that no seal names."""
        sealed = self.seals.files()
        return [path for path in self.live() if self.seals.name(path) not in sealed]

    def tidy(self) -> None:
        """Put small files together; see `Stored.tidy`."""
        # of two that do so at once Delta lets both, and every row is there twice
        try:
            with FileLock(self.seals.folder / _LOCK, blocking=False):
                super().tidy()
        except OSError as error:  # another one is at it: Timeout is an OSError
            _log.info("%s is not tidied now: %s", self.path, error)
        self.seal()

    def _put_together(self, stored: DeltaTable, month: str) -> None:
        stored.optimize.z_order(
            [SHARD], partition_filters=[(MONTH, "=", month)], writer_properties=WRITER
        )

    def lay_out(self) -> None:
        """Write the rows of an earlier version anew; see `Stored.lay_out`."""
        with FileLock(self.seals.folder / _LOCK, timeout=_PATIENCE):
            super().lay_out()
        self.seal()

    def drop(self, condition: str) -> int:
        """Remove rows for good; see `Stored.drop`."""
        with FileLock(self.seals.folder / _LOCK, timeout=_PATIENCE):
            dropped = super().drop(condition)
        self._known = None
        self.seal()
        return dropped

    def _forget_log(self) -> None:
        for path in Log.listed(self.log).summed_up:
            path.unlink(missing_ok=True)

    def relied_on(self) -> dict[Path, tuple[int, str]]:
        """Give the files that an acknowledged append rests on, and that are in use, with seals."""
        sealed = self.seals.files()
        log = self._acknowledged(sealed)
        files = [*log.checkpoint, *log.after.values(), *self._worth()]
        return {path: sealed[name] for path in files if (name := self.seals.name(path)) in sealed}

    def worth(self, path: Path) -> str:
        """Say what cannot be read without one of these files."""
        return self._worth().get(path, f"what of {self.table.name} only this file leads to")

    def _worth(self) -> dict[Path, str]:
        """Say what each data file holds, as the log tells; nothing if that cannot be read."""
        try:
            adds = DeltaTable(self.uri).get_add_actions(flatten=True)
        except (DeltaError, OSError, ValueError):
            return {}
        told = {name: adds.column(name).to_pylist() for name in adds.schema.names}
        none = [None] * len(told["path"])
        columns = [
            told.get(name, none)
            for name in (
                *("path", "num_records", "min.appliance", "max.appliance"),
                *(f"min.{self.time}", f"max.{self.time}"),
            )
        ]
        return {
            self.path / path: (
                f"{rows} {self.table.name} of {first} to {last}, learnt {begin} to {end}"
            )
            for path, rows, first, last, begin, end in zip(*columns, strict=True)
        }

    def live(self) -> list[Path]:
        """List the files in use: data, commits, and the newest checkpoint."""
        if not DeltaTable.is_deltatable(self.uri):
            return []
        log = Log.listed(self.log)
        return [*log.checkpoint, *log.read.values(), *self._files(DeltaTable(self.uri))]

    def _files(self, stored: DeltaTable) -> list[Path]:
        adds = stored.get_add_actions(flatten=True)
        return [self.path / path for path in adds.column("path").to_pylist()]

    def _mend(self, log: Log, sealed: Collection[str]) -> bool:
        """Put aside what a power cut tore, as long as nobody relies on it: the newest changes."""
        mended = False
        for path in log.checkpoint:
            of_nothing = log.newest not in log.commits
            if self.seals.name(path) not in sealed and (of_nothing or not _is_parquet(path)):
                self._put_aside(path, f"{path.name} is not whole")
                mended = True
        if mended:
            log = Log.listed(self.log)
        self._mend_pointer()
        for version, path in reversed(log.read.items()):
            if self.seals.name(path) in sealed or not (torn := self._torn(path)):
                break
            for also in log.checkpoints.get(version, ()):
                self._put_aside(also, f"it is of {path.name}")
            self._put_aside(path, torn)
            self._mend_pointer()
            mended = True
        return mended

    def _mend_pointer(self) -> None:
        """Drop Delta's hint at a checkpoint that is not there."""
        pointer = self.log / "_last_checkpoint"
        try:
            version = json.loads(pointer.read_bytes())["version"]
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError):
            version = None
        if not isinstance(version, int) or not any(self.log.glob(f"{version:020}.checkpoint*")):
            pointer.unlink(missing_ok=True)

    def _put_aside(self, path: Path, why: str) -> None:
        aside = self.seals.folder / "torn"
        aside.mkdir(exist_ok=True)
        path.replace(aside / f"{self.table.name}-{path.name}")
        _log.warning(
            "%s: the newest change of %s was never completed (%s), as after a power cut. It is "
            "put aside in torn/; nothing that was acknowledged is lost.",
            self.seals.folder,
            self.table.name,
            why,
        )

    def _torn(self, commit: Path) -> str:
        """Say what is missing of a commit; "" if it is whole."""
        try:
            actions = [json.loads(line) for line in commit.read_bytes().splitlines()]
            added = [action["add"] for action in actions if "add" in action]
            if not actions:
                return f"{commit.name} is empty"
            for add in added:
                data = self.path / add["path"]
                if not data.is_file() or data.stat().st_size != add["size"]:
                    return f"{add['path']} is not whole"
        except FileNotFoundError:  # tidied away meanwhile
            return ""
        except (ValueError, TypeError, KeyError):
            return f"{commit.name} is cut"
        return ""


def _is_parquet(path: Path) -> bool:
    try:
        pq.read_table(path)
    except (OSError, ValueError):  # Arrow's errors are of these
        return False
    return True

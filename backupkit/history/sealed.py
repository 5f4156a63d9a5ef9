"""One table of a history in a folder of this machine: held against its seals when it is read."""

import contextlib
import json
import logging
import secrets
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from filelock import FileLock, Timeout

from backupkit.history.layout import MONTH, SHARD, WRITER
from backupkit.history.log import Log
from backupkit.history.seals import DamageError, Seals
from backupkit.history.stored import TIDY_EVERY, TRIES, Stored, as_dataset
from backupkit.tables import Table

__all__ = ["Sealed"]

_T = TypeVar("_T")

_log = logging.getLogger(__name__)

_LOCK: Final = ".tidy.lock"
_MENDING: Final = ".mend.lock"
_PATIENCE: Final = 60.0  # s, until another process has put its files together


@dataclass(frozen=True, slots=True)
class _Read:
    """The rows of a version."""

    version: int
    dataset: ds.Dataset
    files: list[Path]
    all_placed: bool


@dataclass(slots=True)
class _Known:
    """A table as it was when it was last opened, and as it was when it was last read.

    Attributes
    ----------
    stored : DeltaTable
        The table.
    state : list of (str, int)
        The files of the log that it was opened by, and when each was written.
    version : int
        What it is after these, and nothing else.
    read : _Read or None
        What was last read.
    """

    stored: DeltaTable
    state: list[tuple[str, int]]
    version: int
    read: _Read | None = None


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
        return self._steadily(self._whole)

    def _steadily(self, action: Callable[[], _T]) -> _T:
        """Begin anew if what it began with was changed, or dropped, meanwhile."""
        for _ in range(TRIES):
            log = Log.listed(self.log)
            try:
                return action()
            except (DeltaError, OSError, ValueError):
                if Log.listed(self.log) == log:
                    raise
        return action()

    def _whole(self) -> ds.Dataset | None:
        sealed = self.seals.files()  # first: what is sealed later may be newer than the table
        log = Log.listed(self.log)
        if self.seals.complete and self._mend(log, sealed.keys()):
            log = Log.listed(self.log)
        acknowledged = self._acknowledged(sealed)
        if not log:
            if acknowledged.commits:
                first = acknowledged.commits[min(acknowledged.commits)]
                raise DamageError(f"{self.seals.name(first)} is missing")
            return None
        needed = {path for version, path in acknowledged.commits.items() if version > log.newest}
        self.seals.check({*log.checkpoint, *log.read.values(), *needed}, sealed)
        known = self._known_by(log)
        version = known.stored.version()
        if (newest := max(acknowledged.commits, default=-1)) > version:
            passed = acknowledged.commits[newest]
            raise DamageError(f"{self.seals.name(passed)} is passed over")
        if known.read is None or known.read.version != version:
            files = self._files(known.stored)
            placed = all(path.parent.name.startswith(f"{MONTH}=2") for path in files)
            known.read = _Read(version, as_dataset(known.stored), files, placed)
        self.seals.check(known.read.files, sealed)
        return known.read.dataset

    def _known_by(self, log: Log) -> _Known:
        """Open the table as this log tells; what was known before is only carried on."""
        files = (*log.checkpoint, *log.read.values())
        state = [(path.name, path.stat().st_mtime_ns) for path in files]
        known = self._known
        if (
            known is None
            or known.state != state[: len(known.state)]
            or known.version != known.stored.version()  # it may know what was put aside since
        ):
            known = self._known = _Known(DeltaTable(self.uri), state, log.last)
        elif known.state != state:
            known.stored.update_incremental()
            known.state, known.version = state, log.last
        return known

    def _all_placed(self) -> bool:
        # an earlier version may go on appending while, and after, the rows are laid out anew
        return not (self._known and self._known.read) or self._known.read.all_placed

    def _acknowledged(self, sealed: Iterable[str]) -> Log:
        """Give the part of the log that appends were acknowledged with."""
        prefix = f"{self.table.name}/_delta_log/"
        names = (name.removeprefix(prefix) for name in sealed if name.startswith(prefix))
        return Log.of([self.log / name for name in names])

    def _opened(self) -> DeltaTable | None:
        def now() -> DeltaTable | None:
            log = Log.listed(self.log)
            return self._known_by(log).stored if log else None

        return self._steadily(now)

    def write(self, rows: pa.Table, *, run: str) -> None:
        """Append rows, and have them written to disk; see `Stored.write`."""
        self._write(rows, run=run)
        while self._passed_over():
            self._write(rows, run=run)
        self.seal()
        if len(Log.listed(self.log).read) >= TIDY_EVERY:
            self.tidy()

    def _passed_over(self) -> bool:
        """Tell whether what was just written has taken the place of a commit that was summed up.

        Delta takes the first version that is free. To one that was held up in between, as by a
        suspended machine, that may be one of those that were dropped meanwhile.
        """
        version = 0  # of the first commit
        if known := self._known:
            version = known.version = known.stored.version()
        log = Log.listed(self.log)
        if log.newest <= version:
            return False
        if known:
            files = self._files(known.stored)
        else:
            files = self._added_by(log.commits[0]) if 0 in log.commits else []
        summed_up = pq.read_table(list(log.checkpoint), columns=["add", "remove"])
        named = {
            self.path / unquote(path)
            for name in ("add", "remove")  # a file of ours may have been replaced since
            for path in pc.struct_field(summed_up[name], "path").drop_null().to_pylist()
        }
        return not named.issuperset(files)

    def _added_by(self, commit: Path) -> list[Path]:
        actions = map(json.loads, commit.read_bytes().splitlines())
        return [self.path / unquote(action["add"]["path"]) for action in actions if "add" in action]

    def seal(self) -> None:
        """Seal what is not sealed yet, whoever wrote it."""
        self.seals.seal(self.unsealed())

    def unsealed(self) -> list[Path]:
        """List the files in use that no seal names."""
        sealed = self.seals.files()
        return [path for path in self.live() if self.seals.name(path) not in sealed]

    def tidy(self, *, whole: bool = False) -> None:
        """Put small files together; see `Stored.tidy`."""
        # of two that do so at once Delta lets both, and every row is there twice
        try:
            with FileLock(self.seals.folder / _LOCK, blocking=False):
                super().tidy(whole=whole)
                self._forget_log(keep=2, lenient=(PermissionError,))  # Windows: it is being read
        except Timeout as error:
            _log.info("%s is not tidied now, another one is at it: %s", self.path, error)

    def _put_together(self, stored: DeltaTable, month: str, *, below: int | None) -> None:
        this = [(MONTH, "=", month)]
        if below is None:
            stored.optimize.z_order([SHARD], partition_filters=this, writer_properties=WRITER)
        else:
            stored.optimize.compact(this, target_size=below, writer_properties=WRITER)

    def lay_out(self) -> None:
        """Write the rows of an earlier version anew; see `Stored.lay_out`."""
        with FileLock(self.seals.folder / _LOCK, timeout=_PATIENCE):
            super().lay_out()
        self.seal()

    def drop(self, condition: str) -> int:
        """Remove rows for good; see `Stored.drop`."""
        with FileLock(self.seals.folder / _LOCK, timeout=_PATIENCE):
            return super().drop(condition)

    def _forget_log(self, *, keep: int = 1, lenient: tuple[type[OSError], ...] = ()) -> None:
        old = Log.listed(self.log).summed_up(keep)
        self.seal()  # first: what sums them up must be on disk
        for path in old:
            with contextlib.suppress(*lenient):
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
        return self._steadily(self._live)

    def _live(self) -> list[Path]:
        if not (log := Log.listed(self.log)):
            return []
        stored = self._known_by(log).stored
        return [*log.checkpoint, *log.read.values(), *self._files(stored)]

    def _files(self, stored: DeltaTable) -> list[Path]:
        adds = stored.get_add_actions(flatten=True)
        return [self.path / path for path in adds.column("path").to_pylist()]

    def _mend(self, log: Log, sealed: Collection[str]) -> bool:
        """Put aside what a power cut tore, as long as nobody relies on it: the newest changes."""
        self._mend_pointer()
        if not self._torn_checkpoint(log, sealed) and not self._broken(log, sealed):
            return False
        # looked at once more: of what others write a listing may tell a part, and of two that mend
        # at once the second must not put aside what a third has written since
        with FileLock(self.seals.folder / _MENDING, timeout=_PATIENCE):
            log = Log.listed(self.log)
            sealed = self.seals.files()
            for path in self._torn_checkpoint(log, sealed):
                self._put_aside(path, f"{path.name} is not whole")
            log = Log.listed(self.log)
            for version, why in reversed(self._broken(log, sealed).items()):
                for path in log.checkpoints.get(version, ()):
                    self._put_aside(path, f"it is of {log.commits[version].name}")
                self._put_aside(log.commits[version], why)
            self._mend_pointer()
        return True

    def _torn_checkpoint(self, log: Log, sealed: Collection[str]) -> list[Path]:
        """List what is not whole of the newest checkpoint, unless somebody relies on it."""
        of_nothing = log.newest not in log.commits
        return [
            path
            for path in log.checkpoint
            if self.seals.name(path) not in sealed and (of_nothing or not _is_parquet(path))
        ]

    def _broken(self, log: Log, sealed: Collection[str]) -> dict[int, str]:
        """Tell which of the newest commits that nobody relies on cannot be read, and why.

        After one that is torn, or gone, none can.
        """
        relied_on = max(
            (version for version, path in log.commits.items() if self.seals.name(path) in sealed),
            default=-1,
        )
        expected = max(relied_on, log.newest) + 1
        broken: dict[int, str] = {}
        why = ""
        for version, path in log.read.items():
            if version > relied_on:
                before = self.log / f"{expected:020}.json"
                gone = version > expected and not before.exists()
                why = why or (f"{before.name} is gone" if gone else self._torn(path))
                expected = max(expected, version + 1)
                if why:
                    broken[version] = why
        return broken

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
        path.replace(aside / f"{self.table.name}-{secrets.token_hex(4)}-{path.name}")
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
